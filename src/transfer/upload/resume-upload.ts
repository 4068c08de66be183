// Finds the result of an earlier process: parts of an upload, or the complete object.
import { createHash } from 'node:crypto';
import { PublishError } from '../../core/errors.ts';
import type { ImageSource } from '../../host/io/image-source.ts';
import type { CallOptions, ObjectInfo } from '../../store/object-info.ts';
import type { PartInfo, PartUpload, ReadTier } from '../../store/object-store.ts';
import type { DigestAlgorithm, Digests } from '../digests/digests.ts';
import { hashImage } from '../digests/hash-image.ts';
import type { Target } from './upload-types.ts';

/**
 * The open upload of this key that has the most parts, with them; others of the key are aborted.
 * Undefined if there is none. No other run writes to a key of this image.
 */
export async function findUpload(
  store: Target,
  key: string,
  options: CallOptions,
): Promise<{ upload: PartUpload; parts: ReadonlyMap<number, PartInfo> } | undefined> {
  const open: { upload: PartUpload; parts: readonly PartInfo[] }[] = [];
  for await (const { key: found, uploadId } of store.listUploads(key, options)) {
    if (found !== key) continue;
    const upload = store.resumeUpload(key, uploadId);
    open.push({ upload, parts: await upload.listParts(options) });
  }
  open.sort((a, b) => b.parts.length - a.parts.length);
  const [fullest, ...others] = open;
  for (const { upload } of others) await upload.abort(options);
  if (!fullest) return undefined;
  const parts = new Map(fullest.parts.map((part) => [part.number, part]));
  return { upload: fullest.upload, parts };
}

interface Wanted extends CallOptions {
  key: string;
  source: ImageSource;
  algorithms: readonly DigestAlgorithm[];
}

/**
 * Returns the object if it exists and holds exactly the source's bytes. It is read back, since only
 * that is certain in every store. Undefined if there is none.
 * @throws INTEGRITY if it holds something else.
 */
export async function findUploaded(
  store: Pick<ReadTier, 'stat' | 'openRead' | 'url'>,
  { key, source, algorithms, signal }: Wanted,
): Promise<{ size: number; etag: string | null; digests: Digests } | undefined> {
  const info = await store.stat(key, { signal });
  if (info === undefined) return undefined;
  const digests = await hashImage(source, algorithms, { signal });
  if (info.size === source.size && (await sha256Of(store, info, { signal })) === digests.sha256) {
    return { size: info.size, etag: info.etag, digests };
  }
  const message = `${key} in ${store.url} has other bytes than this run made`;
  const hint = 'publish the image again, under a new id';
  throw new PublishError('INTEGRITY', message, { step: 'upload', hint });
}

async function sha256Of(
  store: Pick<ReadTier, 'openRead'>,
  { key, size }: ObjectInfo,
  options: CallOptions,
): Promise<string | undefined> {
  const stream = await store.openRead(key, options);
  if (stream === undefined) return undefined;
  const hash = createHash('sha256');
  let read = 0;
  for await (const chunk of stream as AsyncIterable<Uint8Array>) {
    hash.update(chunk);
    read += chunk.byteLength;
    // It has more bytes than its size, so it may be endless.
    if (read > size) return undefined;
  }
  return hash.digest('hex');
}
