// Small objects and listings, read past the SDK's middleware.
import { encryptionIn, hasEtag } from './answer.ts';
import { type ListPage, parseListPage } from './list-xml.ts';
import type { S3Requests } from './requests.ts';

/** The object at `key` (with the registry's prefix); a body that is undefined: ask the SDK. */
export async function leanBody(
  s3: S3Requests,
  key: string,
  signal: AbortSignal,
): Promise<{ body: Buffer | undefined }> {
  const { body, headers = {} } = (await s3.lean.send({ method: 'GET', key }, signal)) ?? {};
  // What is not plainly whole, and S3's, is asked for again.
  const isPlain =
    body !== undefined &&
    headers['content-length'] === String(body.byteLength) &&
    headers.etag !== undefined &&
    hasEtag(body, { ETag: headers.etag, ...encryptionIn(headers) });
  return { body: isPlain ? body : undefined };
}

/** With the registry's prefix. */
export interface PageQuery {
  prefix: string;
  startAfter?: string | undefined;
  token?: string | undefined;
  limit?: number | undefined;
}

/** One page of keys, or `undefined`: ask the SDK. */
export async function leanPage(
  s3: S3Requests,
  { prefix, startAfter, token, limit }: PageQuery,
  signal: AbortSignal,
): Promise<ListPage | undefined> {
  const query = {
    'list-type': '2',
    prefix,
    ...(startAfter === undefined ? {} : { 'start-after': startAfter }),
    ...(token === undefined ? {} : { 'continuation-token': token }),
    ...(limit === undefined ? {} : { 'max-keys': String(limit) }),
  };
  const { body } = (await s3.lean.send({ method: 'GET', query }, signal)) ?? {};
  return body === undefined ? undefined : parseListPage(body.toString('utf8'), s3.prefix);
}
