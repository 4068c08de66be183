// The data of an active image as a sequence of chunks that is verified on the way.
import { createHash } from 'node:crypto';
import { PublishError } from '../core/errors.ts';
import { ignoreRejection } from '../core/ignore-rejection.ts';
import type { ObjectStore } from '../store/object-store.ts';
import { type RetryPolicy, withRetries } from '../store/retrying/retry.ts';
import { assertReadable, type DiskChoice, objectToPull } from './pull-image.ts';
import type { ImageObject, ImageRecord } from './record/image.ts';
import { imageFolder } from './record/image-records.ts';

/** Bytes in memory: one range that is consumed, and the next. */
const RANGE_BYTES = 8 * 1024 * 1024;

export interface ReadRequest extends DiskChoice {
  artefact?: string | undefined;
  signal?: AbortSignal | undefined;
  policy: RetryPolicy;
}

/**
 * Returns the object, and its bytes in order. The last chunk comes before the digest is known, so
 * a consumer that reaches the end without an error has the right bytes.
 * @throws IMAGE_STATUS, USAGE; the chunks: INTEGRITY, REGISTRY, INTERRUPTED
 */
export function readImage(
  store: ObjectStore,
  image: ImageRecord,
  options: ReadRequest,
): { object: ImageObject; chunks: AsyncGenerator<Uint8Array> } {
  assertReadable(image);
  const object = objectToPull(image, options);
  return { object, chunks: verifiedChunks(store, imageFolder(image.id), object, options) };
}

async function* verifiedChunks(
  store: ObjectStore,
  folder: string,
  { name, size, sha256 }: ImageObject,
  { policy, signal }: ReadRequest,
): AsyncGenerator<Uint8Array> {
  const hash = createHash('sha256');
  const read = (start: number) => {
    const range = { start, end: Math.min(start + RANGE_BYTES, size), signal };
    const reading = withRetries(policy, { signal, step: 'pull' }, () =>
      readRange(store, folder + name, range),
    );
    return ignoreRejection(reading);
  };
  let next = size === 0 ? undefined : read(0);
  for (let at = 0; next !== undefined; at += RANGE_BYTES) {
    const chunk = await next;
    next = at + RANGE_BYTES < size ? read(at + RANGE_BYTES) : undefined;
    hash.update(chunk);
    yield chunk;
  }
  if (hash.digest('hex') === sha256) return;
  throw new PublishError('INTEGRITY', `${name} has another sha256 than its record says`, {
    ...{ step: 'pull', hint: 'run virt-publish verify on the image' },
  });
}

async function readRange(
  store: ObjectStore,
  key: string,
  { start, end, signal }: { start: number; end: number; signal: AbortSignal | undefined },
): Promise<Uint8Array> {
  const stream = await store.openRead(key, { start, end, signal });
  if (stream === undefined) throw incomplete(`${key} is missing`);
  const chunks: Uint8Array[] = [];
  for await (const chunk of stream as AsyncIterable<Uint8Array>) chunks.push(chunk);
  const bytes = Buffer.concat(chunks);
  if (bytes.length === end - start) return bytes;
  throw incomplete(`${key} ends at byte ${start + bytes.length}, before its size`);
}

function incomplete(message: string): PublishError {
  const hint = 'run virt-publish verify on the image';
  return new PublishError('INTEGRITY', message, { step: 'pull', hint });
}
