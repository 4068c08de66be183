// Uploads an image to one object: parts and digests side by side, nothing left on failure.
import { interruption, throwIfInterrupted } from '../../core/deadline.ts';
import { messageOf, PublishError } from '../../core/errors.ts';
import { etagsDiffer, multipartEtag } from '../../store/etag.ts';
import type { ObjectInfo } from '../../store/object-info.ts';
import type { PartCheck, PartInfo, PartUpload } from '../../store/object-store.ts';
import { planParts } from './part-plan.ts';
import { findUpload } from './resume-upload.ts';
import { PartSender } from './send-parts.ts';
import type { Target, UploadImageOptions, UploadImageResult } from './upload-types.ts';

/**
 * Uploads the source. When it resolves, the store has confirmed each part and the whole object. When
 * it rejects, the multipart upload was aborted, also after a signal.
 * @throws UPLOAD, REGISTRY, INTEGRITY (other bytes arrived than were sent), INTERRUPTED. With
 * `undoFailures` if the upload could not be aborted.
 */
export async function uploadImage(
  store: Target,
  options: UploadImageOptions,
): Promise<UploadImageResult> {
  const { key, source, policy, signal, contentType } = options;
  const partSize = policy.partSizeMib * 1024 * 1024;
  const plan = planParts(source.size, partSize, store.limits);
  const earlier = options.resume ? await findUpload(store, key, { signal }) : undefined;
  const check = partCheck(store, options.checksums ?? false);
  const start = { signal, check, ...(contentType === undefined ? {} : { contentType }) };
  const upload = earlier?.upload ?? (await store.startUpload(key, start));
  let sender: PartSender | undefined;
  try {
    // Within the `try`: it starts threads, and the host may refuse one.
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
function partCheck({ wantsPartMd5 }: Pick<Target, 'wantsPartMd5'>, checksums: boolean): PartCheck {
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

/** Compares the stored object with the data that was sent. */
function checkObject(
  store: Target,
  info: ObjectInfo,
  sent: { size: number; parts: readonly PartInfo[] },
): void {
  const what = `${info.key} in ${store.url}`;
  if (info.size !== sent.size) {
    throw integrity(`${what} has ${info.size} bytes, but ${sent.size} were sent`);
  }
  if (etagsDiffer(info.etag, multipartEtag(sent.parts))) {
    throw integrity(
      `${what} has the ETag ${info.etag}, which is not the one of the parts that were sent`,
    );
  }
}

function integrity(message: string): PublishError {
  return new PublishError('INTEGRITY', message, { step: 'upload', hint: 'publish it again' });
}
