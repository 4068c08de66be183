// One small object on its way into a bucket, where none may be yet; past the SDK's middleware where that is plain.
import { createHash } from 'node:crypto';
import { Readable } from 'node:stream';
import { PublishError } from '../../core/errors.ts';
import type { CreateOptions } from '../object-store.ts';
import { noS3Answer } from './answer.ts';
import { factsOf } from './facts.ts';
import { type S3Requests, statObject } from './requests.ts';

interface NewObject {
  at: { Bucket: string; Key: string };
  /** With the header that lets one writer win; else nothing is at the key already. */
  isConditional: boolean;
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
  const doing = `storing ${key}`;
  await s3.call({ doing, signal }, (abortSignal) =>
    createOnly(s3, { key, signal: abortSignal }, async (isConditional) => {
      const object = { at: s3.at(key), isConditional, body, md5, type };
      const answer =
        (await leanCreate(s3, object, abortSignal)) ?? (await sdkCreate(s3, object, abortSignal));
      if (!answer.etag) throw noS3Answer(doing, 'registry', 'it names no ETag');
    }),
  );
}

/**
 * Runs `create`, which throws what the SDK does, with a condition, by which one of several writers wins. Where the server does not
 * know conditions, what is at the key is looked at first, and one client may write at a time: what
 * abilities.ts finds out, and warns of, in the same way as where a server ignores them.
 * @throws PRECONDITION_LOST where the key is taken
 */
export async function createOnly<T>(
  s3: S3Requests,
  { key, signal }: { key: string; signal: AbortSignal },
  create: (isConditional: boolean) => Promise<T>,
): Promise<T> {
  if (s3.knowsConditions) {
    try {
      return await create(true);
    } catch (error) {
      if (!isConditionUnknown(error)) throw error;
      s3.knowsConditions = false;
    }
  }
  if ((await statObject(s3, key, { signal })) === undefined) return create(false);
  const message = `Storing ${key} failed: it exists already; somebody else was first.`;
  throw new PublishError('PRECONDITION_LOST', message, { step: 'registry' });
}

/** True where the server does not know conditional writes, and says so instead of ignoring them. */
function isConditionUnknown(error: unknown): boolean {
  const { name, status, text } = factsOf(error);
  return (
    name === 'NotImplemented' ||
    status === 501 ||
    (status === 400 && /if-none-match|conditional/i.test(text))
  );
}

/** `undefined`: ask the SDK. */
async function leanCreate(
  s3: S3Requests,
  { at, isConditional, body, md5, type }: NewObject,
  signal: AbortSignal,
): Promise<{ etag: string | undefined } | undefined> {
  const headers = {
    'content-length': String(body.byteLength),
    'content-type': type,
    // Signed, and so the body is too.
    'content-md5': md5,
    ...(isConditional ? { 'if-none-match': '*' } : {}),
  };
  const request = { method: 'PUT', key: at.Key, headers, body: Readable.from([body]) } as const;
  const answer = await s3.lean.send(request, signal);
  return answer && { etag: answer.headers.etag };
}

async function sdkCreate(
  s3: S3Requests,
  { at, isConditional, body, md5, type }: NewObject,
  abortSignal: AbortSignal,
): Promise<{ etag: string | undefined }> {
  const content = { Body: body, ContentLength: body.byteLength, ContentMD5: md5 };
  const input = { ...at, ...content, ContentType: type };
  const { ETag: etag } = await (await s3.client()).putObject(
    { ...input, ...(isConditional ? { IfNoneMatch: '*' } : {}) },
    { abortSignal },
  );
  return { etag };
}
