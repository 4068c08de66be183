// The bucket policies of `virt-publish explain security`: each lets its user do what the topic says, and no more.
import { randomBytes } from 'node:crypto';
import { readFile, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import {
  CreateMultipartUploadCommand,
  PutBucketPolicyCommand,
  UploadPartCommand,
} from '@aws-sdk/client-s3';
import { afterAll, beforeAll, expect, test } from 'vitest';
import { type CliResult, makeSandbox, runCli } from '../support/cli.ts';
import { must } from '../support/exec.ts';
import { lab } from '../support/lab.ts';
import { createBucket, listKeys, listUploads, s3Client, s3Env } from '../support/s3.ts';
import { waitFor } from '../support/wait.ts';
import { scratchFolder } from './places.ts';

interface Statement {
  Action: string[];
  Resource: string[];
}

const root = new URL('../../', import.meta.url).pathname;
const suffix = randomBytes(4).toString('hex');
const ROLES = ['reader', 'writer', 'gc'] as const;
type Role = (typeof ROLES)[number];

const userOf = (role: Role) => `vp-test-${role}-${suffix}`;
const secretOf = (role: Role) => `${userOf(role)}-secret`;
let bucket: string;
let image: string;

/** NOTE: Ceph's own tool, in the chroot that the server runs in: S3 has no call that makes a user. */
async function radosgwAdmin(...args: string[]): Promise<void> {
  const dir = join(lab().dir, 's3');
  const ceph = (await readFile(join(dir, 'root'), 'utf8')).trim();
  const command = [ceph, 'radosgw-admin', '-c', join(dir, 'ceph.conf'), ...args];
  await must(`${root}scripts/lib/chroot.sh`, command, { env: { ...process.env, BIND: dir } });
}

async function statementsOf(role: Role): Promise<object[]> {
  const topic = await readFile(`${root}src/explain/security.md`, 'utf8');
  const json = new RegExp(`\`\`\`json ${role}\n([\\s\\S]*?)\`\`\``).exec(topic)?.[1] ?? '';
  const policy = JSON.parse(json) as { Statement: Statement[] };
  return policy.Statement.map((statement) => ({
    ...statement,
    Principal: { AWS: [`arn:aws:iam:::user/${userOf(role)}`] },
    Resource: statement.Resource.map((name) => name.replace(':::images', `:::${bucket}`)),
  }));
}

beforeAll(async () => {
  bucket = await createBucket();
  image = join(await scratchFolder(), 'image.raw');
  await writeFile(image, randomBytes(17 * 1024 ** 2));
  for (const role of ROLES) {
    const keys = [`--access-key=${userOf(role)}`, `--secret-key=${secretOf(role)}`];
    await radosgwAdmin('user', 'create', `--uid=${userOf(role)}`, '--display-name=test', ...keys);
  }
  const Statement = (await Promise.all(ROLES.map(statementsOf))).flat();
  const Policy = JSON.stringify({ Version: '2012-10-17', Statement });
  await s3Client().send(new PutBucketPolicyCommand({ Bucket: bucket, Policy }));
});
afterAll(async () => {
  for (const role of ROLES) await radosgwAdmin('user', 'rm', `--uid=${userOf(role)}`);
});

async function runnerOf(role: Role): Promise<(...args: string[]) => Promise<CliResult>> {
  const sandbox = await makeSandbox();
  const keys = { AWS_ACCESS_KEY_ID: userOf(role), AWS_SECRET_ACCESS_KEY: secretOf(role) };
  const registry = ['--registry', `s3://${bucket}/golden`];
  return (...args) => runCli([...args, ...registry], { sandbox, env: { ...s3Env(), ...keys } });
}

async function expectDone(run: Promise<CliResult>): Promise<string> {
  const { exitCode, stdout, stderr } = await run;
  expect(exitCode, stderr).toBe(0);
  expect(stderr).not.toContain('warning');
  return stdout.trim();
}

/** An upload of an image that no record knows. */
async function leaveUpload(): Promise<void> {
  const Key = 'golden/images/11111111-2222-4333-8444-555555555555/disk.raw';
  const { UploadId } = await s3Client().send(
    new CreateMultipartUploadCommand({ Bucket: bucket, Key }),
  );
  const part = { Bucket: bucket, Key, UploadId, PartNumber: 1, Body: Buffer.alloc(6 * 1024 ** 2) };
  await s3Client().send(new UploadPartCommand(part));
}

test('the policies of writer, reader and gc are enough, and a reader cannot write', async () => {
  const write = await runnerOf('writer');
  await expectDone(write('import', image, '--name', 'a', '--alias', 'a/latest'));
  await expectDone(write('import', image, '--name', 'b'));
  await expectDone(write('alias', 'set', 'b/latest', 'b'));
  await expectDone(write('update', 'b', '--name', 'c'));
  await expectDone(write('deactivate', 'c'));
  await expectDone(write('reactivate', 'c'));
  await expectDone(write('alias', 'rm', 'b/latest'));
  await expectDone(write('delete', 'c'));

  const read = await runnerOf('reader');
  const pulled = join(await scratchFolder(), 'pulled.raw');
  expect(await expectDone(read('list'))).toContain('a/latest');
  await expectDone(read('show', 'a/latest'));
  await expectDone(read('pull', 'a/latest', pulled));
  expect((await readFile(pulled)).equals(await readFile(image))).toBe(true);
  await expectDone(read('verify', 'a'));
  await expectDone(read('sums'));
  expect((await fetch(await expectDone(read('url', 'a')))).status).toBe(200);
  const keys = await listKeys(bucket);
  for (const args of [
    ['import', image],
    ['delete', 'a', '--force'],
    ['update', 'a', '--name', 'x'],
  ])
    expect((await read(...args)).exitCode).toBe(44);
  expect(await listKeys(bucket)).toEqual(keys);

  const collect = await runnerOf('gc');
  await leaveUpload();
  expect((await write('gc')).exitCode).toBe(44);
  // NOTE: times of the server are whole seconds, so the upload is not older than 0 s at once.
  await waitFor('gc to abort the upload', async () => {
    await expectDone(collect('gc', '--delete', '--older-than', '0s'));
    return (await listUploads(bucket)).length === 0;
  });
});
