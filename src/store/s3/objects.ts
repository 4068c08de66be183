// Single objects of a bucket: create, read small ones, look up, remove.
import { createHash } from 'node:crypto';
import type { Readable } from 'node:stream';
import { eachBounded } from '../../core/bounded.ts';
import { PublishError } from '../../core/errors.ts';
import { objectInfo } from '../etag.ts';
import type { CallOptions, ObjectInfo } from '../object-info.ts';
import { type CreateOptions, type ReadOptions, SMALL_OBJECT_BYTES } from '../object-store.ts';
import { hasEtag, noS3Answer } from './answer.ts';
import { readSmallBody } from './body.ts';
import { factsOf } from './facts.ts';
import { checkBucket } from './list.ts';
import { absent, type S3Requests } from './requests.ts';

const REMOVALS_AT_ONCE = 8;

/**
 * Creates a small object completely or not at all. The server checks its md5.
 * @throws PRECONDITION_LOST if the key exists, REGISTRY, INTEGRITY
 */
export async function createObject(
  s3: S3Requests,
  key: string,
  body: Uint8Array,
  { contentType = 'application/octet-stream', signal }: CreateOptions,
): Promise<void> {
  const input = {
    ...s3.at(key),
    Body: body,
    ContentLength: body.byteLength,
    ContentMD5: createHash('md5').update(body).digest('base64'),
    ContentType: contentType,
  };
  const doing = `storing ${key}`;
  await s3.send({ doing, signal }, (client, abortSignal) =>
    createOnly(s3, { key, signal: abortSignal }, async (condition) => {
      const { ETag } = await client.putObject({ ...input, ...condition }, { abortSignal });
      if (!ETag) throw noS3Answer(doing, 'registry', 'it names no ETag');
    }),
  );
}

/**
 * Runs `create` with the condition by which one of several writers wins. If the server refuses
 * conditional writes (501, or 400 that names them), it checks that the key is free. Then it creates
 * the object without a condition: safe for one client at a time, which the probe of the store's
 * capabilities reports.
 * @throws PRECONDITION_LOST if the key is taken, and what `create` throws
 */
export async function createOnly<T>(
  s3: S3Requests,
  { key, signal }: { key: string; signal: AbortSignal },
  create: (condition: { IfNoneMatch?: '*' }) => Promise<T>,
): Promise<T> {
  if (s3.supportsConditions) {
    try {
      return await create({ IfNoneMatch: '*' });
    } catch (error) {
      if (!isUnsupportedCondition(error)) throw error;
      s3.supportsConditions = false;
    }
  }
  if ((await statObject(s3, key, { signal })) === undefined) return create({});
  throw new PublishError('PRECONDITION_LOST', `storing ${key} failed: the key exists`, {
    step: 'registry',
  });
}

function isUnsupportedCondition(error: unknown): boolean {
  const { name, status, text } = factsOf(error);
  return (
    name === 'NotImplemented' ||
    status === 501 ||
    (status === 400 && /if-none-match|conditional/i.test(text))
  );
}

/** Returns the object's bytes; `undefined` if it does not exist. @throws INTEGRITY beyond `maxBytes` */
export async function readObject(
  s3: S3Requests,
  key: string,
  { signal, maxBytes = SMALL_OBJECT_BYTES }: ReadOptions,
): Promise<Uint8Array | undefined> {
  const doing = `reading ${key}`;
  return s3.send({ doing, signal }, async (client, abortSignal) => {
    const answer = await absent(client.getObject(s3.at(key), { abortSignal }));
    if (answer?.Body === undefined) return undefined;
    const body = await readSmallBody(answer.Body as Readable, maxBytes, `${key} in ${s3.url}`);
    // An answer without a length that ends early looks complete; its ETag shows the difference.
    const isWhole = answer.ContentLength !== undefined || hasEtag(body, answer);
    if (isWhole) return body;
    throw noS3Answer(doing, 'registry', 'it has no length, and its ETag does not match');
  });
}

/** Returns size, ETag and time of the object; `undefined` if it does not exist. */
export async function statObject(
  s3: S3Requests,
  key: string,
  { signal }: CallOptions,
): Promise<ObjectInfo | undefined> {
  const answer = await s3.send({ doing: `looking at ${key}`, signal }, (client, abortSignal) =>
    absent(client.headObject(s3.at(key), { abortSignal }), true),
  );
  if (answer !== undefined) {
    return objectInfo(key, answer.ContentLength, answer.ETag, answer.LastModified);
  }
  // NOTE: the answer to HEAD has no body, so 404 may also mean a missing bucket; LIST shows which.
  await checkBucket(s3, { signal });
  return undefined;
}

/**
 * Removes objects; a missing one counts as removed.
 *
 * NOTE: one request a key: DeleteObjects needs a checksum of its body, and which one a server
 * accepts (Content-MD5, CRC32C) differs; the SDK offers the newer one only.
 */
export async function removeObjects(
  s3: S3Requests,
  keys: readonly string[],
  { signal }: CallOptions,
): Promise<void> {
  await eachBounded(keys, REMOVALS_AT_ONCE, async (key) => {
    await s3.send({ doing: `removing ${key}`, signal }, (client, abortSignal) =>
      absent(client.deleteObject(s3.at(key), { abortSignal })),
    );
  });
}
