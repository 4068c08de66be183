// Sends one part: with retries and a deadline, and compares it with the answer of the store.
import { Readable } from 'node:stream';
import { unlessAborted, withDeadline } from '../../core/deadline.ts';
import { messageOf, PublishError } from '../../core/errors.ts';
import { isMd5 } from '../../store/etag.ts';
import type { PartCheck, PartInfo, PartUpload } from '../../store/object-store.ts';
import { withRetries } from '../../store/retrying/retry.ts';
import type { Chunks, LoadedPart } from './part-loader.ts';
import type { PlannedPart } from './part-plan.ts';
import type { RateLimit } from './rate-limit.ts';
import type { UploadPolicy } from './upload-types.ts';

export interface SendPartOptions {
  policy: UploadPolicy;
  check: PartCheck;
  signal: AbortSignal;
  /** Bytes that were sent; negative after an attempt that failed. */
  onBytes: (bytes: number) => void;
}

/** Sends a part until the store has it. @throws UPLOAD, INTEGRITY, REGISTRY, INTERRUPTED */
export async function sendPart(
  upload: PartUpload,
  part: PlannedPart,
  loaded: LoadedPart,
  options: SendPartOptions,
): Promise<PartInfo> {
  const { policy, check, signal } = options;
  const sums = {
    ...(check === 'md5' ? { md5: await unlessAborted(loaded.md5(), signal, 'upload') } : {}),
    ...(check === 'crc32c' ? { crc32c: loaded.crc32c() } : {}),
  };
  const length = part.end - part.start;
  const ms = partMs(policy, length);
  const what = `The registry, sent part ${part.number} of ${upload.key},`;
  return withRetries(policy, { signal, step: 'upload' }, () =>
    withDeadline({ what, ms, step: 'upload', signal }, async (attemptSignal) => {
      // Work that ignores the signal still uses the memory.
      attemptSignal.addEventListener('abort', loaded.abandon, { once: true });
      const body = { start: part.start, length, ...sums };
      const paced = check === 'none' ? {} : { rate: policy.rate, signal: attemptSignal };
      const info = await attempt(part, loaded, { ...options, ...paced }, async (open) => {
        const sent = await upload.putPart(
          part.number,
          { ...body, open },
          { signal: attemptSignal },
        );
        checkPart(sent, sums.md5);
        return sent;
      });
      return { ...info, ...sums };
    }),
  );
}

/** The deadline for a part of so many bytes. */
export function partMs({ partMs: ms, partSizeMib }: UploadPolicy, bytes: number): number {
  return ms * Math.max(1, bytes / (partSizeMib * 1024 * 1024));
}

async function attempt<T>(
  { start, end }: PlannedPart,
  loaded: LoadedPart,
  { onBytes, rate, signal }: SendPartOptions & { rate?: RateLimit | undefined },
  put: (open: () => Readable) => Promise<T>,
): Promise<T> {
  let counted = 0;
  const count = (bytes: number) => {
    counted += bytes;
    onBytes(bytes);
  };
  try {
    const onChunk = async (bytes: number) => {
      await rate?.take(bytes, signal);
      count(bytes);
    };
    return await put(() => {
      // Opened again within one attempt if the store opens the body twice.
      if (counted > 0) count(-counted);
      return countBytes(loaded.chunks(), onChunk, end - start);
    });
  } catch (error) {
    onBytes(-counted);
    throw error;
  }
}

function checkPart({ number, etag, opaqueEtag }: PartInfo, md5: string | undefined): void {
  if (md5 === undefined || opaqueEtag || !isMd5(etag) || etag.toLowerCase() === md5) return;
  throw otherBytes({ number, etag });
}

export function otherBytes({ number, etag }: Pick<PartInfo, 'number' | 'etag'>): PublishError {
  const message = `the store received other bytes for part ${number} than were sent (ETag ${etag})`;
  return new PublishError('INTEGRITY', message, { step: 'upload', retryable: true });
}

/**
 * Returns the chunks as a stream that reports how many bytes went through. One that ends early
 * fails: a server that knows the length would wait for the rest until its deadline.
 * NOTE: not by a Transform in a pipeline, which takes several times the processor time.
 */
function countBytes(
  chunks: Chunks,
  onChunk: (bytes: number) => Promise<void>,
  length: number,
): Readable {
  // One chunk at a time: what is read ahead is memory for each part under way.
  return Readable.from(counted(chunks, onChunk, length), { objectMode: false, highWaterMark: 1 });
}

async function* counted(
  chunks: Chunks,
  onChunk: (bytes: number) => Promise<void>,
  length: number,
): AsyncGenerator<Uint8Array> {
  if (length === 0) return;
  let seen = 0;
  for await (const chunk of chunks) {
    seen += chunk.byteLength;
    await onChunk(chunk.byteLength).catch(raise);
    yield chunk;
  }
  if (seen === length) return;
  const message = `the image ended ${length - seen} bytes before the end of a part`;
  throw new PublishError('UPLOAD', message, { step: 'upload' });
}

/** A caller's callback that throws fails the part, as what it is. */
function raise(error: unknown): never {
  if (error instanceof PublishError) throw error;
  const message = `onProgress failed: ${messageOf(error)}`;
  throw new PublishError('INTERNAL', message, { step: 'upload', cause: error });
}
