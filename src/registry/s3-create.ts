// One small object on its way into a bucket, where none may be yet; past the SDK's middleware where that is plain.
import { createHash } from 'node:crypto';
import { Readable } from 'node:stream';
import type { CreateOptions } from './object-store.ts';
import { noS3Answer } from './s3-answer.ts';
import type { S3Requests } from './s3-requests.ts';

interface NewObject {
  at: { Bucket: string; Key: string };
  body: Uint8Array;
  /** Base64. */
  md5: string;
  type: string;
}

/** @throws what the server says, PRECONDITION_LOST where the key is taken */
export async function createObject(
  s3: S3Requests,
  key: string,
  body: Uint8Array,
  { contentType: type = 'application/octet-stream', signal }: CreateOptions,
): Promise<void> {
  const md5 = createHash('md5').update(body).digest('base64');
  const object = { at: s3.at(key), body, md5, type };
  const doing = `storing ${key}`;
  await s3.call({ doing, signal }, async (abortSignal) => {
    const answer =
      (await leanCreate(s3, object, abortSignal)) ?? (await sdkCreate(s3, object, abortSignal));
    if (!answer.etag) throw noS3Answer(doing, 'registry', 'it names no ETag');
  });
}

/** `undefined`: ask the SDK. */
async function leanCreate(
  s3: S3Requests,
  { at, body, md5, type }: NewObject,
  signal: AbortSignal,
): Promise<{ etag: string | undefined } | undefined> {
  const headers = {
    'content-length': String(body.byteLength),
    'content-type': type,
    // Signed, and so the body is too.
    'content-md5': md5,
    'if-none-match': '*',
  };
  const request = { method: 'PUT', key: at.Key, headers, body: Readable.from([body]) } as const;
  const answer = await s3.lean.send(request, signal);
  return answer && { etag: answer.headers.etag };
}

async function sdkCreate(
  s3: S3Requests,
  { at, body, md5, type }: NewObject,
  abortSignal: AbortSignal,
): Promise<{ etag: string | undefined }> {
  const content = { Body: body, ContentLength: body.byteLength, ContentMD5: md5 };
  const input = { ...at, ...content, ContentType: type, IfNoneMatch: '*' };
  const { ETag: etag } = await (await s3.client()).putObject(input, { abortSignal });
  return { etag };
}
