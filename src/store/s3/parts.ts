// Requests about the parts of a multipart upload: their list, and parts that the server copies itself.
import { unquote } from '../etag.ts';
import type { PartInfo, PartOrigin } from '../object-store.ts';
import { assertPage, isEncrypted, noS3Answer } from './answer.ts';
import { capital, isMissingUpload } from './errors.ts';
import { ListGuard } from './list-guard.ts';
import type { S3Call, S3Requests } from './requests.ts';

/** Bucket, key and id of an upload, as requests name them. */
export interface UploadAt {
  Bucket: string;
  Key: string;
  UploadId: string;
}

/** The parts there are, page after page; none where the upload is gone. */
export async function* listParts(s3: S3Requests, at: UploadAt, call: S3Call) {
  const guard = new ListGuard(capital(call.doing), 'upload');
  let marker: string | undefined;
  do {
    const input = { ...at, ...(marker === undefined ? {} : { PartNumberMarker: marker }) };
    const page = await s3.send(call, (client, abortSignal) =>
      gone(client.listParts(input, { abortSignal })),
    );
    if (page !== undefined) assertPage(page, page.NextPartNumberMarker, call.doing, 'upload');
    const { Parts = [] } = page ?? {};
    marker = page?.IsTruncated ? page.NextPartNumberMarker : undefined;
    guard.check(marker, { count: Parts.length });
    yield* Parts;
  } while (marker !== undefined);
}

/** One part from a range of another object, without the bytes coming here. */
export async function copyPart(
  s3: S3Requests,
  at: UploadAt & { PartNumber: number },
  { location, key, start, end, etag }: PartOrigin,
  call: S3Call,
): Promise<PartInfo> {
  const path = `${location.bucket}/${location.prefix}${key}`;
  const input = {
    ...at,
    // NOTE: the SDK sends the header as it is, and a key may hold what a header may not.
    CopySource: path.split('/').map(encodeURIComponent).join('/'),
    CopySourceRange: `bytes=${start}-${end - 1}`,
    ...(etag === null ? {} : { CopySourceIfMatch: `"${etag}"` }),
  };
  const answer = await s3.send(call, (client, abortSignal) =>
    client.uploadPartCopy(input, { abortSignal }),
  );
  const made = unquote(answer.CopyPartResult?.ETag);
  if (made === null) throw noS3Answer(call.doing, 'upload', 'it names no ETag');
  const opaque = isEncrypted(answer) ? { opaqueEtag: true } : {};
  return { number: at.PartNumber, size: end - start, etag: made, ...opaque };
}

/** A request about an upload, or `undefined` where the server says the upload is not there. */
export async function gone<T>(request: Promise<T>): Promise<T | undefined> {
  try {
    return await request;
  } catch (error) {
    if (isMissingUpload(error)) return undefined;
    throw error;
  }
}
