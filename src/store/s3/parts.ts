// The parts of a multipart upload: sent, copied by the server, listed.
import type { Readable } from 'node:stream';
import { unquote } from '../etag.ts';
import type { PartBody, PartInfo, PartOrigin } from '../object-store.ts';
import { assertPage, type EncryptionFacts, isEncrypted, noS3Answer } from './answer.ts';
import { isMissingUpload } from './errors.ts';
import { ListGuard } from './list-guard.ts';
import type { S3Call, S3Requests } from './requests.ts';

/** Bucket, key and id of an upload, in the SDK's names. */
export interface UploadAt {
  Bucket: string;
  Key: string;
  UploadId: string;
}

type PartAt = UploadAt & { PartNumber: number };

/**
 * Sends one part, with the checksums that `part` has.
 * @throws INTEGRITY (retryable) if the server received other bytes, UPLOAD, REGISTRY
 */
export async function putPart(
  s3: S3Requests,
  at: PartAt,
  part: PartBody,
  call: S3Call,
): Promise<PartInfo> {
  const { length, md5, crc32c } = part;
  const input = {
    ...at,
    ContentLength: length,
    ...(md5 === undefined ? {} : { ContentMD5: base64(md5) }),
    // NOTE: Ceph 20 checks the sum only if the algorithm is named too.
    ...(crc32c === undefined
      ? {}
      : { ChecksumAlgorithm: 'CRC32C' as const, ChecksumCRC32C: base64(crc32c) }),
  };
  const answer = await s3.send(call, (client, signal) =>
    sendBody(part, signal, (Body, abortSignal) =>
      client.uploadPart({ ...input, Body }, { abortSignal }),
    ),
  );
  return partInfo(at.PartNumber, length, answer.ETag, answer, call);
}

/** Makes one part from a range of another object, without a download. @throws UPLOAD, REGISTRY */
export async function copyPart(
  s3: S3Requests,
  at: PartAt,
  { location, key, start, end, etag }: PartOrigin,
  call: S3Call,
): Promise<PartInfo> {
  const path = `${location.bucket}/${location.prefix}${key}`;
  const input = {
    ...at,
    // NOTE: the SDK sends this header unchanged, and a key may have characters that a header cannot.
    CopySource: path.split('/').map(encodeURIComponent).join('/'),
    CopySourceRange: `bytes=${start}-${end - 1}`,
    ...(etag === null ? {} : { CopySourceIfMatch: `"${etag}"` }),
  };
  const answer = await s3.send(call, (client, abortSignal) =>
    client.uploadPartCopy(input, { abortSignal }),
  );
  return partInfo(at.PartNumber, end - start, answer.CopyPartResult?.ETag, answer, call);
}

function partInfo(
  number: number,
  size: number,
  quotedEtag: string | undefined,
  answer: EncryptionFacts,
  { doing }: S3Call,
): PartInfo {
  const etag = unquote(quotedEtag);
  if (etag === null) throw noS3Answer(doing, 'upload', 'it names no ETag');
  return { number, size, etag, ...(isEncrypted(answer) ? { opaqueEtag: true } : {}) };
}

/** Yields the parts that the server has; none if the upload does not exist. */
export async function* listParts(s3: S3Requests, at: UploadAt, call: S3Call) {
  const guard = new ListGuard(call.doing, 'upload');
  let marker: string | undefined;
  do {
    const input = { ...at, ...(marker === undefined ? {} : { PartNumberMarker: marker }) };
    const page = await s3.send(call, (client, abortSignal) =>
      unlessMissing(client.listParts(input, { abortSignal })),
    );
    if (page !== undefined) assertPage(page, page.NextPartNumberMarker, call.doing, 'upload');
    const { Parts = [] } = page ?? {};
    marker = page?.IsTruncated ? page.NextPartNumberMarker : undefined;
    guard.check(marker, { count: Parts.length });
    yield* Parts;
  } while (marker !== undefined);
}

/** Returns the answer to a request about an upload; `undefined` if the upload does not exist. */
export async function unlessMissing<T>(request: Promise<T>): Promise<T | undefined> {
  try {
    return await request;
  } catch (error) {
    if (isMissingUpload(error)) return undefined;
    throw error;
  }
}

/** Converts a checksum in hex to the base64 that headers have. */
export function base64(hex: string): string {
  return Buffer.from(hex, 'hex').toString('base64');
}

/**
 * Opens the body, sends it, and closes it whatever happens. An error of the body itself (the file
 * cannot be read) ends the request: Node's `pipe` would leave it waiting for bytes that never come.
 * An answer that arrives before the whole body was sent ends the request too: it would keep its
 * connection, and the connection the process.
 */
async function sendBody<T>(
  part: PartBody,
  signal: AbortSignal,
  send: (body: Readable, signal: AbortSignal) => Promise<T>,
): Promise<T> {
  const body = part.open();
  const controller = new AbortController();
  const onAbort = () => controller.abort();
  let bodyError: unknown;
  signal.addEventListener('abort', onAbort, { once: true });
  body.on('error', (error) => {
    bodyError = error;
    controller.abort();
  });
  try {
    return await send(body, controller.signal);
  } catch (error) {
    throw bodyError ?? error;
  } finally {
    signal.removeEventListener('abort', onAbort);
    if (!body.readableEnded) controller.abort();
    body.destroy();
  }
}
