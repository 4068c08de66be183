// The listings of a bucket, page after page: objects, folders, open uploads.
import { PublishError } from '../../core/errors.ts';
import { objectInfo } from '../etag.ts';
import type { CallOptions, ObjectInfo } from '../object-info.ts';
import type { ListOptions, OpenUpload } from '../object-store.ts';
import { assertPage, noS3Answer } from './answer.ts';
import { ListGuard } from './list-guard.ts';
import type { S3Requests } from './requests.ts';
import type { S3 } from './s3-client.ts';

export async function* listObjectPages(
  s3: S3Requests,
  prefix: string,
  { startAfter, limit, signal }: ListOptions,
): AsyncGenerator<ObjectInfo[]> {
  const from = startAfter === undefined ? undefined : s3.prefix + startAfter;
  const guard = new ListGuard(`listing ${s3.url}`);
  let token: string | undefined;
  do {
    const input = {
      Bucket: s3.options.bucket,
      Prefix: s3.prefix + prefix,
      ...(from === undefined ? {} : { StartAfter: from }),
      ...(token === undefined ? {} : { ContinuationToken: token }),
      ...(limit === undefined ? {} : { MaxKeys: limit }),
    };
    const page = await s3.call({ doing: `listing ${s3.url}`, signal }, (abortSignal) =>
      checkedPage(s3, input, abortSignal),
    );
    const objects = (page.Contents ?? []).map(({ Key = '', Size, ETag, LastModified }) =>
      objectInfo(relative(s3, Key), Size, ETag, LastModified),
    );
    const names = objects.map(({ key }) => key);
    assertBelow(prefix, names, `listing ${s3.url}`);
    token = page.IsTruncated ? page.NextContinuationToken : undefined;
    guard.check(token, { count: names.length, names });
    yield objects;
  } while (token !== undefined);
}

/**
 * Makes one cheap request.
 * @throws REGISTRY if the bucket is missing, the credentials are refused or the server is unreachable
 */
export async function checkBucket(s3: S3Requests, { signal }: CallOptions): Promise<void> {
  const input = { Bucket: s3.options.bucket, Prefix: s3.prefix, MaxKeys: 1 };
  await s3.call({ doing: `opening ${s3.url}`, signal }, (abortSignal) =>
    checkedPage(s3, input, abortSignal),
  );
}

/** False also for credentials that may list their own prefix alone. */
export async function isBucketEmpty(s3: S3Requests, { signal }: CallOptions): Promise<boolean> {
  const doing = `looking into ${s3.url}`;
  try {
    const page = await s3.call({ doing, signal }, (abortSignal) =>
      checkedPage(s3, { Bucket: s3.options.bucket, MaxKeys: 1 }, abortSignal),
    );
    return (page.Contents ?? []).length === 0;
  } catch (error) {
    if (error instanceof PublishError && error.code === 'REGISTRY' && !error.retryable)
      return false;
    throw error;
  }
}

export async function* listFolders(
  s3: S3Requests,
  prefix: string,
  { signal }: CallOptions,
): AsyncGenerator<string> {
  for await (const page of folderPages(s3, prefix, signal)) {
    for (const { Prefix = '' } of page.CommonPrefixes ?? []) yield relative(s3, Prefix);
  }
}

export async function* listUploads(
  s3: S3Requests,
  prefix: string,
  { signal }: CallOptions,
): AsyncGenerator<OpenUpload> {
  const guard = new ListGuard(`listing uploads in ${s3.url}`);
  let after: UploadMarker | undefined = {};
  while (after !== undefined) {
    const page = await uploadsPage(s3, prefix, after, signal);
    const { Uploads = [] } = page;
    for (const { Key = '', UploadId = '', Initiated } of Uploads) {
      yield { key: relative(s3, Key), uploadId: UploadId, startedAt: Initiated ?? null };
    }
    const { IsTruncated, NextKeyMarker, NextUploadIdMarker } = page;
    const goesOn = IsTruncated && NextKeyMarker !== undefined;
    after = goesOn ? marker(NextKeyMarker, NextUploadIdMarker) : undefined;
    guard.check(after && JSON.stringify(after), { count: Uploads.length });
  }
}

interface UploadMarker {
  KeyMarker?: string;
  UploadIdMarker?: string;
}

function marker(KeyMarker: string, UploadIdMarker: string | undefined): UploadMarker {
  return UploadIdMarker === undefined ? { KeyMarker } : { KeyMarker, UploadIdMarker };
}

async function* folderPages(s3: S3Requests, prefix: string, signal: AbortSignal | undefined) {
  const guard = new ListGuard(`listing ${s3.url}`);
  let token: string | undefined;
  do {
    const request = {
      Bucket: s3.options.bucket,
      Prefix: s3.prefix + prefix,
      Delimiter: '/',
      ...(token === undefined ? {} : { ContinuationToken: token }),
    };
    const page = await s3.call({ doing: `listing ${s3.url}`, signal }, (abortSignal) =>
      checkedPage(s3, request, abortSignal),
    );
    token = page.IsTruncated ? page.NextContinuationToken : undefined;
    guard.check(token, {
      count: (page.CommonPrefixes ?? []).length + (page.Contents ?? []).length,
    });
    yield page;
  } while (token !== undefined);
}

async function checkedPage(
  s3: S3Requests,
  input: Parameters<S3['listObjectsV2']>[0],
  abortSignal: AbortSignal,
) {
  const doing = `listing ${s3.url}`;
  const page = await (await s3.client()).listObjectsV2(input, { abortSignal });
  assertPage(page, page.NextContinuationToken, doing);
  const { KeyCount, Contents = [], CommonPrefixes = [] } = page;
  if (KeyCount !== undefined && KeyCount !== Contents.length + CommonPrefixes.length) {
    throw noS3Answer(doing, 'registry', `it should have ${KeyCount} keys`);
  }
  return page;
}

function uploadsPage(
  s3: S3Requests,
  prefix: string,
  after: UploadMarker,
  signal: AbortSignal | undefined,
) {
  const request = { Bucket: s3.options.bucket, Prefix: s3.prefix + prefix, ...after };
  const doing = `listing uploads in ${s3.url}`;
  return s3.send({ doing, signal }, async (client, abortSignal) => {
    const page = await client.listMultipartUploads(request, { abortSignal });
    assertPage(page, page.NextKeyMarker, doing);
    return page;
  });
}

// NOTE: the keys of a wrong page would count as those of another image, or the list would never end.
function assertBelow(prefix: string, names: readonly string[], doing: string): void {
  if (names.every((name) => name.startsWith(prefix))) return;
  throw noS3Answer(doing, 'registry', 'it has keys that were not asked for');
}

function relative(s3: S3Requests, key: string): string {
  return key.slice(s3.prefix.length);
}
