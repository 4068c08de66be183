// An image to one object of a store: parts side by side, digests beside them, nothing left on failure.

import { interruption, throwIfInterrupted } from '../../core/deadline.ts';
import { messageOf, PublishError } from '../../core/errors.ts';
import type { ImageSource } from '../../host/io/image-source.ts';
import { etagsDiffer, multipartEtag } from '../../store/etag.ts';
import type {
  MultipartTier,
  ObjectInfo,
  PartCheck,
  PartInfo,
  PartUpload,
  ReadTier,
} from '../../store/object-store.ts';
import type { RetryPolicy } from '../../store/retry.ts';
import type { DigestAlgorithm, Digests } from '../digests/digests.ts';
import type { EarlyParts } from './early-upload.ts';
import { planParts } from './part-plan.ts';
import type { RateLimit } from './rate-limit.ts';
import { findUpload } from './resume-upload.ts';
import { PartSender } from './send-parts.ts';

export interface UploadPolicy extends RetryPolicy {
  partSizeMib: number;
  /** Parts under way at once. */
  concurrency: number;
  /** Deadline of one try to send a part of `partSizeMib`; a larger part has as much more. */
  partMs: number;
  /** What goes to a bucket at most, in MiB/s; no cap where 0 or left out. */
  rateMib?: number;
  /** Shared by all who send at that rate. */
  rate?: RateLimit;
}

export interface UploadImageOptions {
  key: string;
  contentType?: string;
  source: ImageSource;
  algorithms: readonly DigestAlgorithm[];
  policy: UploadPolicy;
  /** The store was seen to refuse a wrong checksum: it need not be md5, which costs much more. */
  checksums?: boolean | undefined;
  signal?: AbortSignal | undefined;
  /** Goes on with what an earlier process left of this very upload. */
  resume?: boolean | undefined;
  /** Goes on with what was sent while the file was written. */
  early?: EarlyParts | undefined;
  /** Known already: the source is read to be sent alone. */
  digests?: Digests | undefined;
  /** Bytes sent so far; what was sent in vain is taken off again. */
  onProgress?: ((bytes: number) => void) | undefined;
}

export interface UploadImageResult {
  size: number;
  etag: string | null;
  digests: Digests;
}

export type Target = MultipartTier & Pick<ReadTier, 'stat' | 'url'>;

/**
 * Uploads the source. When it resolves, the store has said of each part and of the whole that it
 * received what was sent; when it rejects, the multipart upload is gone, also after a signal.
 * @throws UPLOAD, REGISTRY, INTEGRITY (what arrived is not what was sent), INTERRUPTED. With
 * `undoFailures` where the upload could not be aborted.
 */
export async function uploadImage(
  store: Target,
  options: UploadImageOptions,
): Promise<UploadImageResult> {
  const { key, source, policy, signal, contentType } = options;
  const partSize = options.early?.partSize ?? policy.partSizeMib * 1024 * 1024;
  const plan = planParts(source.size, partSize, store.limits);
  const earlier =
    options.early ?? (options.resume ? await findUpload(store, key, { signal }) : undefined);
  const check = partCheck(store, options.checksums ?? false);
  const start = { signal, check, ...(contentType === undefined ? {} : { contentType }) };
  const upload = earlier?.upload ?? (await store.startUpload(key, start));
  let sender: PartSender | undefined;
  try {
    // Within the `try`: it starts threads, and a machine may refuse one.
    const kept = earlier?.parts ?? new Map();
    sender = new PartSender(upload, plan, { ...options, check, kept });
    const parts = await sender.sendAll();
    const digests = await sender.digests();
    await source.checkUnchanged?.();
    throwIfInterrupted(signal, 'upload');
    const info = await upload.complete(parts, { signal });
    checkObject(store, info, { size: source.size, parts });
    return { size: info.size, etag: info.etag, digests };
  } catch (error) {
    throw await abortAfter(upload, signal?.aborted ? asInterruption(error, signal) : error);
  } finally {
    await sender?.close();
  }
}

/** md5 costs several times what all else of a part costs. */
export function partCheck(
  { wantsPartMd5 }: Pick<Target, 'wantsPartMd5'>,
  checksums: boolean,
): PartCheck {
  if (!wantsPartMd5) return 'none';
  return checksums ? 'crc32c' : 'md5';
}

/** Deaf to the signal: an upload that stays open costs its owner money. */
async function abortAfter(upload: PartUpload, error: unknown): Promise<unknown> {
  try {
    await upload.abort();
    return error;
  } catch (abortError) {
    if (!(error instanceof PublishError && abortError instanceof Error)) return error;
    const message = `${error.message} Its multipart upload ${upload.uploadId} stays open: ${messageOf(abortError)}`;
    return new PublishError(error.code, message, {
      step: 'upload',
      retryable: error.retryable,
      cause: error,
      undoFailures: [...error.undoFailures, abortError],
    });
  }
}

function asInterruption(error: unknown, signal: AbortSignal): unknown {
  return error instanceof PublishError ? error : interruption(signal, 'upload');
}

/** What the store says it has, against what was sent. */
function checkObject(
  store: Target,
  info: ObjectInfo,
  sent: { size: number; parts: readonly PartInfo[] },
): void {
  const what = `${info.key} in ${store.url}`;
  if (info.size !== sent.size) {
    throw integrity(`${what} has ${info.size} bytes, but ${sent.size} were sent.`);
  }
  if (etagsDiffer(info.etag, multipartEtag(sent.parts))) {
    throw integrity(`${what} has the ETag ${info.etag}, which is not the one of the parts sent.`);
  }
}

function integrity(message: string): PublishError {
  return new PublishError('INTEGRITY', `${message} Publish it again.`, { step: 'upload' });
}
