// Copies one object between stores: by the server itself if both are its buckets, else through this process.
import { eachBounded } from '../../core/bounded.ts';
import { PublishError } from '../../core/errors.ts';
import type { CallOptions } from '../../store/object-info.ts';
import type { ObjectStore, PartInfo, PartUpload } from '../../store/object-store.ts';
import { readDigest } from '../digests/read-digest.ts';
import { partAt, planParts } from './part-plan.ts';
import { storeSource } from './store-source.ts';
import { uploadImage } from './upload-image.ts';
import type { UploadPolicy } from './upload-types.ts';

/** The expected copy. Size in bytes, sha256 in hex. */
export interface ExpectedObject {
  name: string;
  size: number;
  sha256: string;
}

export interface CopyObjectRequest extends CallOptions {
  from: ObjectStore;
  to: ObjectStore;
  key: string;
  object: ExpectedObject;
  policy: UploadPolicy;
  /** Bytes of this object copied so far. */
  onProgress?: ((bytes: number) => void) | undefined;
}

/** How an object was copied; `there`: it existed already. */
export type CopyWay = 'server' | 'streamed' | 'there';

/** Parts that a server copies cost this host nothing: large ones save requests. */
const COPY_PART_MIB = 256;

/**
 * Copies the object, then reads the copy and compares it with the record.
 * @throws INTEGRITY if it differs, UPLOAD, REGISTRY, INTERRUPTED; no upload is left open.
 */
export async function copyObject(request: CopyObjectRequest): Promise<CopyWay> {
  const { to, key, signal } = request;
  const isThere = (await to.stat(key, { signal })) !== undefined;
  const way = isThere ? 'there' : await copyOver(request);
  await checkCopy(request);
  return way;
}

async function copyOver(request: CopyObjectRequest): Promise<CopyWay> {
  const { from, to, object } = request;
  const isOneServer =
    from.location !== undefined && from.location.server === to.location?.server && object.size > 0;
  try {
    // Streams the data if the server has no UploadPartCopy, or its credentials may not read the source.
    if (isOneServer && (await copiedByServer(request))) return 'server';
    await stream(request);
    return 'streamed';
  } catch (error) {
    // Another copy of the same image was faster; its object is checked like one of this process.
    if (error instanceof PublishError && error.code === 'PRECONDITION_LOST') return 'there';
    throw error;
  }
}

async function copiedByServer(request: CopyObjectRequest): Promise<boolean> {
  const { to, key, signal } = request;
  const upload = await to.startUpload(key, { signal });
  try {
    const parts = await copyParts(request, upload);
    await upload.complete(parts, { signal });
    return true;
  } catch (error) {
    await upload.abort();
    const isRefused =
      error instanceof PublishError && !error.retryable && REFUSALS.includes(error.code);
    if (isRefused) return false;
    throw error;
  }
}

const REFUSALS: readonly string[] = ['UPLOAD', 'REGISTRY'];

async function copyParts(
  { from, to, key, object, policy, signal, onProgress }: CopyObjectRequest,
  upload: PartUpload,
): Promise<PartInfo[]> {
  const { location } = from;
  const etag = (await from.stat(key, { signal }))?.etag ?? null;
  const plan = planParts(object.size, COPY_PART_MIB * 1024 * 1024, to.limits);
  const numbers = Array.from({ length: plan.count }, (_, index) => index + 1);
  const parts: PartInfo[] = [];
  let copied = 0;
  await eachBounded(numbers, policy.concurrency, async (number) => {
    const { start, end } = partAt(plan, number);
    if (location === undefined || upload.copyPart === undefined)
      throw new PublishError('UPLOAD', `${to.url} cannot copy parts`, { step: 'upload' });
    parts.push(await upload.copyPart(number, { location, key, start, end, etag }, { signal }));
    copied += end - start;
    onProgress?.(copied);
  });
  return parts.sort((a, b) => a.number - b.number);
}

async function stream(request: CopyObjectRequest): Promise<void> {
  const { from, to, key, object, policy, signal, onProgress } = request;
  const source = storeSource(from, key, object.size, signal);
  const algorithms = ['sha256'] as const;
  const sent = { key, source, algorithms, policy, signal, onProgress };
  const { digests } = await uploadImage(to, sent);
  if (digests.sha256 === object.sha256) return;
  await to.remove([key]);
  throw damaged(`${key} in ${from.url} has the sha256 ${digests.sha256}`, object);
}

/** Reads back: what the copy is, and not what was sent, is what its readers get. */
async function checkCopy({ to, key, object, policy, signal }: CopyObjectRequest): Promise<void> {
  const found = await readDigest(to, key, { policy, signal });
  if (found?.size === object.size && found.sha256 === object.sha256) return;
  const is = found === undefined ? 'is missing' : `has the sha256 ${found.sha256}`;
  throw damaged(`${key} in ${to.url} ${is}`, object);
}

function damaged(what: string, { sha256 }: ExpectedObject): PublishError {
  const message = `${what}, but its record says ${sha256}; the copy was not made active`;
  const hint = 'check the image that was copied: virt-publish verify IMAGE';
  return new PublishError('INTEGRITY', message, { step: 'upload', hint });
}
