// What is in a bucket after a run, asked of the server itself: whole image, none, or something between.
import { createHash } from 'node:crypto';
import {
  AbortMultipartUploadCommand,
  GetObjectCommand,
  ListMultipartUploadsCommand,
} from '@aws-sdk/client-s3';
import { expect } from 'vitest';
import type { ImageRecord } from '#built/registry/record/image.js';
import type { Seen } from '../support/faulty-proxy.ts';
import { listKeys, s3Client } from '../support/s3.ts';
import { kindOf } from './s3-schedule.ts';

export interface Outcome {
  /** Of the newest record; `none` where nothing was ever stored. */
  status: ImageRecord['status'] | 'none';
  /** Uploads that the run could not end itself. */
  leftUploads: number;
  /** A data object below an image that is not active: what `gc` removes. */
  leftObject: boolean;
}

export interface Judged {
  bucket: string;
  id: string;
  /** Name of the data object. */
  data: string;
  /** Of the file that was published; not known of an image that was converted on the way. */
  sha256?: string;
  log: readonly Seen[];
}

/**
 * An active image must verify and have no upload beside it. Of any other the uploads that are left
 * are aborted here, as `gc` does. For each of them a fault must have hit its abort.
 */
export async function judge(
  judged: Judged,
): Promise<Outcome & { record: ImageRecord | undefined }> {
  const { bucket, id, data, sha256, log } = judged;
  const folder = `images/${id}/`;
  const keys = await listKeys(bucket, folder);
  const record = await newestRecord(bucket, keys, folder);
  const uploads = await openUploads(bucket, folder);
  const hasData = keys.includes(`${folder}${data}`);
  if (record?.status === 'active') {
    expect(uploads).toEqual([]);
    await expectVerified(bucket, `${folder}${data}`, record, sha256);
    return { status: 'active', leftUploads: 0, leftObject: false, record };
  }
  const status = record?.status ?? 'none';
  expect(['queued', 'saving', 'killed', 'none']).toContain(status);
  for (const { Key = '', UploadId = '' } of uploads) {
    expect(status).not.toBe('none');
    assertAbortFailed(log, Key, UploadId);
    await s3Client().send(new AbortMultipartUploadCommand({ Bucket: bucket, Key, UploadId }));
  }
  expect(await openUploads(bucket, folder)).toEqual([]);
  return { status, leftUploads: uploads.length, leftObject: hasData, record };
}

/** Reads the object from the server, not through the proxy. */
async function readObject(bucket: string, key: string): Promise<Uint8Array> {
  const { Body } = await s3Client().send(new GetObjectCommand({ Bucket: bucket, Key: key }));
  if (Body === undefined) throw new Error(`${key} has no body`);
  return Body.transformToByteArray();
}

async function newestRecord(
  bucket: string,
  keys: readonly string[],
  folder: string,
): Promise<ImageRecord | undefined> {
  const newest = keys.filter((key) => key.startsWith(`${folder}record/`)).at(-1);
  if (newest === undefined) return undefined;
  return JSON.parse(Buffer.from(await readObject(bucket, newest)).toString()) as ImageRecord;
}

async function expectVerified(
  bucket: string,
  key: string,
  record: ImageRecord,
  sha256 = record.data?.sha256,
): Promise<void> {
  const bytes = await readObject(bucket, key);
  const there = createHash('sha256').update(bytes).digest('hex');
  expect(there).toBe(sha256);
  expect(record).toMatchObject({ size: bytes.length, data: { size: bytes.length, sha256 } });
}

async function openUploads(bucket: string, prefix: string) {
  const command = new ListMultipartUploadsCommand({ Bucket: bucket, Prefix: prefix });
  return (await s3Client().send(command)).Uploads ?? [];
}

/** Asserts that the run tried to abort or find this upload, and that a fault hit each such request. */
function assertAbortFailed(log: readonly Seen[], key: string, uploadId: string): void {
  const ends = log.filter(({ method, url }) => {
    const kind = kindOf(method, url);
    const { pathname, searchParams } = new URL(url, 'http://host');
    if (kind === 'abort') {
      return pathname.endsWith(key) && searchParams.get('uploadId') === uploadId;
    }
    return kind === 'uploads' && searchParams.get('prefix') === key;
  });
  expect(ends.length, `no request tried to end the upload of ${key}`).toBeGreaterThan(0);
  const through = ends.filter(({ method, url, fault }) => {
    return kindOf(method, url) === 'abort' && fault === undefined;
  });
  expect(through, `an abort of ${key} went through, and the upload is still there`).toEqual([]);
}
