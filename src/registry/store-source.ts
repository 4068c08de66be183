// An object of a store as the source of an upload: what several readers want of it is fetched once.
import { Readable } from 'node:stream';
import { PublishError } from '../errors.ts';
import type { ImageSource } from '../upload/source.ts';
import type { ObjectStore } from './object-store.ts';

/** Ranges kept at once; with parts of 16 MiB this is what an upload has under way and hashes. */
const KEPT_RANGES = 8;
/** A larger range is fetched by each reader for itself: memory stays bounded. */
const MAX_KEPT_BYTES = 32 * 1024 * 1024;

/** `size` is what the object must have; a range that ends early fails the upload. */
export function storeSource(
  store: ObjectStore,
  key: string,
  size: number,
  signal: AbortSignal | undefined,
): ImageSource {
  const kept = new Map<string, Promise<Buffer>>();
  const fetched = (start: number, end: number): Promise<Buffer> => {
    const name = `${start}-${end}`;
    const bytes = kept.get(name) ?? fetchRange(store, key, { start, end, signal });
    kept.delete(name);
    kept.set(name, bytes);
    // Who asks again after a failure must not be given the same failure.
    bytes.catch(() => kept.delete(name));
    const oldest = kept.keys().next().value;
    if (kept.size > KEPT_RANGES && oldest !== undefined) kept.delete(oldest);
    return bytes;
  };
  return {
    size,
    open: (start, end) =>
      Readable.from(
        end - start <= MAX_KEPT_BYTES
          ? once(fetched(start, end))
          : chunks(store, key, { start, end, signal }),
        { objectMode: false },
      ),
  };
}

interface Range {
  start: number;
  end: number;
  signal: AbortSignal | undefined;
}

async function fetchRange(store: ObjectStore, key: string, range: Range): Promise<Buffer> {
  const parts: Uint8Array[] = [];
  for await (const chunk of chunks(store, key, range)) parts.push(chunk);
  return Buffer.concat(parts);
}

async function* once(bytes: Promise<Buffer>): AsyncGenerator<Uint8Array> {
  const whole = await bytes;
  if (whole.byteLength > 0) yield whole;
}

async function* chunks(store: ObjectStore, key: string, range: Range): AsyncGenerator<Uint8Array> {
  if (range.end === range.start) return;
  const stream = await store.openRead(key, range);
  if (stream === undefined) {
    const message = `${key} is not in ${store.url}; the image is damaged, see "verify".`;
    throw new PublishError('INTEGRITY', message, { step: 'upload' });
  }
  yield* stream as AsyncIterable<Uint8Array>;
}
