// The listings of a bucket, page after page: objects, folders, open uploads.
import { objectInfo } from './etag.ts';
import type { CallOptions, ListOptions, ObjectInfo, OpenUpload } from './object-store.ts';
import { assertPage, noS3Answer } from './s3-answer.ts';
import type { S3Requests } from './s3-requests.ts';

export async function* listObjects(
  s3: S3Requests,
  prefix: string,
  { startAfter, signal }: ListOptions,
): AsyncGenerator<ObjectInfo> {
  const from = startAfter === undefined ? {} : { StartAfter: s3.prefix + startAfter };
  for await (const page of pages(s3, prefix, from, signal)) {
    for (const { Key = '', Size, ETag, LastModified } of page.Contents ?? []) {
      yield objectInfo(relative(s3, Key), Size, ETag, LastModified);
    }
  }
}

export async function* listFolders(
  s3: S3Requests,
  prefix: string,
  { signal }: CallOptions,
): AsyncGenerator<string> {
  for await (const page of pages(s3, prefix, { Delimiter: '/' }, signal)) {
    for (const { Prefix = '' } of page.CommonPrefixes ?? []) yield relative(s3, Prefix);
  }
}

export async function* listUploads(
  s3: S3Requests,
  prefix: string,
  { signal }: CallOptions,
): AsyncGenerator<OpenUpload> {
  let after: UploadMarker | undefined = {};
  while (after !== undefined) {
    const page = await uploadsPage(s3, prefix, after, signal);
    for (const { Key = '', UploadId = '', Initiated } of page.Uploads ?? []) {
      yield { key: relative(s3, Key), uploadId: UploadId, startedAt: Initiated ?? null };
    }
    const { IsTruncated, NextKeyMarker, NextUploadIdMarker } = page;
    const goesOn = IsTruncated && NextKeyMarker !== undefined;
    after = goesOn ? marker(NextKeyMarker, NextUploadIdMarker) : undefined;
  }
}

interface UploadMarker {
  KeyMarker?: string;
  UploadIdMarker?: string;
}

function marker(KeyMarker: string, UploadIdMarker: string | undefined): UploadMarker {
  return UploadIdMarker === undefined ? { KeyMarker } : { KeyMarker, UploadIdMarker };
}

async function* pages(
  s3: S3Requests,
  prefix: string,
  input: { StartAfter?: string; Delimiter?: string },
  signal: AbortSignal | undefined,
) {
  let token: string | undefined;
  do {
    const page = await objectsPage(s3, prefix, { ...input, token }, signal);
    yield page;
    token = page.IsTruncated ? page.NextContinuationToken : undefined;
  } while (token !== undefined);
}

function objectsPage(
  s3: S3Requests,
  prefix: string,
  { token, ...input }: { StartAfter?: string; Delimiter?: string; token: string | undefined },
  signal: AbortSignal | undefined,
) {
  const request = {
    Bucket: s3.options.bucket,
    Prefix: s3.prefix + prefix,
    ...input,
    ...(token === undefined ? {} : { ContinuationToken: token }),
  };
  const doing = `listing ${s3.url}`;
  return s3.call({ doing, signal }, async (abortSignal) => {
    const page = await s3.client.listObjectsV2(request, { abortSignal });
    assertPage(page, page.NextContinuationToken, doing);
    const { KeyCount, Contents = [], CommonPrefixes = [] } = page;
    if (KeyCount !== undefined && KeyCount !== Contents.length + CommonPrefixes.length) {
      throw noS3Answer(doing, 'registry', `it should have ${KeyCount} keys`);
    }
    return page;
  });
}

function uploadsPage(
  s3: S3Requests,
  prefix: string,
  after: UploadMarker,
  signal: AbortSignal | undefined,
) {
  const request = { Bucket: s3.options.bucket, Prefix: s3.prefix + prefix, ...after };
  const doing = `listing uploads in ${s3.url}`;
  return s3.call({ doing, signal }, async (abortSignal) => {
    const page = await s3.client.listMultipartUploads(request, { abortSignal });
    assertPage(page, page.NextKeyMarker, doing);
    return page;
  });
}

function relative(s3: S3Requests, key: string): string {
  return key.slice(s3.prefix.length);
}
