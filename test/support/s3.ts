// Buckets on the lab's S3 server, and rclone as an independent reader of them.
import { randomBytes } from 'node:crypto';
import {
  AbortMultipartUploadCommand,
  CreateBucketCommand,
  DeleteBucketCommand,
  DeleteObjectsCommand,
  ListMultipartUploadsCommand,
  ListObjectsV2Command,
  type MultipartUpload,
  S3Client,
} from '@aws-sdk/client-s3';
import { cleanUp, cleanUpLater } from './cleanup.ts';
import { must } from './exec.ts';
import { lab, type S3Access } from './lab.ts';

/** A plain client of the SDK: the tests' own, not the product's. */
export function s3Client(access: S3Access = lab().s3, endpoint = access.endpoint): S3Client {
  return new S3Client({
    endpoint,
    region: access.region,
    forcePathStyle: true,
    credentials: { accessKeyId: access.accessKeyId, secretAccessKey: access.secretAccessKey },
  });
}

const buckets = new Map<string, object>();

/** A new bucket; it goes with its test file, with all that is in it. */
export async function createBucket(access: S3Access = lab().s3): Promise<string> {
  const bucket = `vp-test-${randomBytes(6).toString('hex')}`;
  await s3Client(access).send(new CreateBucketCommand({ Bucket: bucket }));
  const owner = {};
  buckets.set(bucket, owner);
  cleanUpLater(owner, () => emptyAndRemove(bucket, access));
  return bucket;
}

/** Removes a bucket of {@link createBucket} now. */
export async function removeBucket(bucket: string): Promise<void> {
  const owner = buckets.get(bucket);
  if (owner !== undefined) {
    await cleanUp(owner);
  }
}

/** All keys of a bucket, sorted. */
export async function listKeys(
  bucket: string,
  prefix = '',
  access: S3Access = lab().s3,
): Promise<string[]> {
  const client = s3Client(access);
  const keys: string[] = [];
  let token: string | undefined;
  do {
    const command = { Bucket: bucket, Prefix: prefix, ContinuationToken: token };
    const page = await client.send(new ListObjectsV2Command(command));
    keys.push(...(page.Contents ?? []).map((object) => object.Key ?? ''));
    token = page.NextContinuationToken;
  } while (token !== undefined);
  return keys.sort();
}

/** The multipart uploads that are open in a bucket. */
export async function listUploads(
  bucket: string,
  access: S3Access = lab().s3,
): Promise<MultipartUpload[]> {
  const page = await s3Client(access).send(new ListMultipartUploadsCommand({ Bucket: bucket }));
  return page.Uploads ?? [];
}

/** Runs rclone, with the server as remote `lab:`; its output. @throws where it fails. */
export function rclone(...args: string[]): Promise<string> {
  const { s3 } = lab();
  // NOTE: by the environment, for arguments can be read by every user of the host; and nothing else
  // in it, for AWS_CA_BUNDLE alone makes rclone 1.60 (Debian 12) fail.
  const env = {
    PATH: process.env.PATH,
    RCLONE_CONFIG: '/dev/null',
    RCLONE_CONFIG_LAB_TYPE: 's3',
    RCLONE_CONFIG_LAB_PROVIDER: 'Ceph',
    RCLONE_CONFIG_LAB_ENDPOINT: s3.endpoint,
    RCLONE_CONFIG_LAB_REGION: s3.region,
    RCLONE_CONFIG_LAB_ACCESS_KEY_ID: s3.accessKeyId,
    RCLONE_CONFIG_LAB_SECRET_ACCESS_KEY: s3.secretAccessKey,
  };
  return must('rclone', args, { env, timeoutMs: 600_000 });
}

/** Runs `aws s3 ARGS` on the server; its output. @throws where it fails. */
export function awsS3(...args: string[]): Promise<string> {
  const { s3 } = lab();
  const env = {
    PATH: process.env.PATH,
    HOME: '/nonexistent',
    AWS_REGION: s3.region,
    AWS_ACCESS_KEY_ID: s3.accessKeyId,
    AWS_SECRET_ACCESS_KEY: s3.secretAccessKey,
  };
  return must('aws', ['s3', '--endpoint-url', s3.endpoint, ...args], { env, timeoutMs: 600_000 });
}

/** What a program needs in its environment to use the server. */
export function s3Env(access: S3Access = lab().s3): Record<string, string> {
  return {
    AWS_ENDPOINT_URL_S3: access.endpoint,
    AWS_REGION: access.region,
    AWS_ACCESS_KEY_ID: access.accessKeyId,
    AWS_SECRET_ACCESS_KEY: access.secretAccessKey,
  };
}

async function emptyAndRemove(bucket: string, access: S3Access): Promise<void> {
  const client = s3Client(access);
  for (const upload of await listUploads(bucket, access)) {
    const { Key, UploadId } = upload;
    await client.send(new AbortMultipartUploadCommand({ Bucket: bucket, Key, UploadId }));
  }
  const keys = await listKeys(bucket, '', access);
  for (let start = 0; start < keys.length; start += 1000) {
    const Objects = keys.slice(start, start + 1000).map((Key) => ({ Key }));
    await client.send(new DeleteObjectsCommand({ Bucket: bucket, Delete: { Objects } }));
  }
  await client.send(new DeleteBucketCommand({ Bucket: bucket }));
}
