// One part on its way into a bucket, past the SDK's middleware where that is plain.
import type { Readable } from 'node:stream';
import { unquote } from '../etag.ts';
import type { PartBody, PartInfo } from '../object-store.ts';
import { type EncryptionFacts, encryptionIn, isEncrypted, noS3Answer } from './answer.ts';
import type { UploadAt } from './parts.ts';
import type { S3Call, S3Requests } from './requests.ts';

type PartAt = UploadAt & { PartNumber: number };
type PartAnswer = EncryptionFacts & { ETag?: string | undefined };

/** @throws what the server says, INTEGRITY where it received something else than the sums tell */
export async function putPart(
  s3: S3Requests,
  at: PartAt,
  body: PartBody,
  call: S3Call,
): Promise<PartInfo> {
  const answer = await s3.call(call, async (signal) => {
    const lean = s3.lean.isOff ? undefined : await leanPart(s3, at, body, signal);
    return lean ?? sdkPart(s3, at, body, signal);
  });
  const etag = unquote(answer.ETag);
  if (etag === null) throw noS3Answer(call.doing, 'upload', 'it names no ETag');
  const opaque = isEncrypted(answer) ? { opaqueEtag: true } : {};
  return { number: at.PartNumber, size: body.length, etag, ...opaque };
}

/** Bytes in hex as headers have them. */
export function base64(hex: string): string {
  return Buffer.from(hex, 'hex').toString('base64');
}

/** With the headers that the SDK gives it, but for those that name the SDK. */
async function leanPart(
  s3: S3Requests,
  { Key, UploadId, PartNumber }: PartAt,
  part: PartBody,
  signal: AbortSignal,
): Promise<PartAnswer | undefined> {
  const { length, md5, crc32c } = part;
  const request = {
    ...({ method: 'PUT', key: Key } as const),
    query: { partNumber: String(PartNumber), uploadId: UploadId },
    headers: {
      'content-length': String(length),
      'content-type': 'application/octet-stream',
      ...(md5 === undefined ? {} : { 'content-md5': base64(md5) }),
      ...(crc32c === undefined
        ? {}
        : { 'x-amz-sdk-checksum-algorithm': 'CRC32C', 'x-amz-checksum-crc32c': base64(crc32c) }),
    },
  };
  const answer = await sendBody(part, signal, (body, abortSignal) =>
    s3.lean.send({ ...request, body }, abortSignal),
  );
  return answer && { ETag: answer.headers.etag, ...encryptionIn(answer.headers) };
}

async function sdkPart(
  s3: S3Requests,
  at: PartAt,
  part: PartBody,
  signal: AbortSignal,
): Promise<PartAnswer> {
  const { length, md5, crc32c } = part;
  const input = {
    ...at,
    ContentLength: length,
    ...(md5 === undefined ? {} : { ContentMD5: base64(md5) }),
    // NOTE: Ceph 20 looks at the checksum only where the algorithm is named too.
    ...(crc32c === undefined
      ? {}
      : { ChecksumAlgorithm: 'CRC32C' as const, ChecksumCRC32C: base64(crc32c) }),
  };
  const client = await s3.client();
  return sendBody(part, signal, (Body, abortSignal) =>
    client.uploadPart({ ...input, Body }, { abortSignal }),
  );
}

/**
 * Sends a stream and closes it whatever happens. An error of the stream itself (the file cannot be
 * read) ends the request: Node's `pipe` would leave it waiting for bytes that never come. So does
 * an answer that came before the body was sent: the half-sent request would hold its connection,
 * and the connection the process.
 */
async function sendBody<T>(
  body: PartBody,
  signal: AbortSignal,
  send: (stream: Readable, signal: AbortSignal) => Promise<T>,
): Promise<T> {
  const stream = body.open();
  const controller = new AbortController();
  const onAbort = () => controller.abort();
  let broken: unknown;
  signal.addEventListener('abort', onAbort, { once: true });
  stream.on('error', (error) => {
    broken = error;
    controller.abort();
  });
  try {
    return await send(stream, controller.signal);
  } catch (error) {
    throw broken ?? error;
  } finally {
    signal.removeEventListener('abort', onAbort);
    if (!stream.readableEnded) controller.abort();
    stream.destroy();
  }
}
