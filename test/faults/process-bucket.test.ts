// Runs into a bucket that die, or whose layers change, while the image is streamed from its layers.
import { rename, utimes } from 'node:fs/promises';
import { join } from 'node:path';
import { ListPartsCommand } from '@aws-sdk/client-s3';
import { beforeAll, expect, test } from 'vitest';
import { makeSandbox, runCli, type Sandbox, startCli } from '../support/cli.ts';
import { createDomain, type TestDomain } from '../support/domains.ts';
import { expectWhole, type GuestPhoto, photograph } from '../support/guest-photo.ts';
import { expectNoRunLeft, expectSoundImage, pull } from '../support/publishing.ts';
import { createBucket, listKeys, listUploads, s3Client, s3Env } from '../support/s3.ts';
import { waitFor } from '../support/wait.ts';

const env = {
  ...s3Env(),
  VIRT_PUBLISH_UPLOAD_PART_SIZE_MIB: '5',
  VIRT_PUBLISH_UPLOAD_CONCURRENCY: '1',
};
let domain: TestDomain;
let before: GuestPhoto;
let bucket: string;
let sandbox: Sandbox;
let registry: string[];

beforeAll(async () => {
  domain = await createDomain({ shape: 'qcow2-on-qcow2' });
  await domain.agent.writeFile('/data/marker', 'bucket');
  before = await photograph(domain);
  bucket = await createBucket();
  sandbox = await makeSandbox();
  registry = ['--registry', `s3://${bucket}/gold`];
});

/** Starts a slow run; resolves when the first of its parts is in the bucket and others are missing. */
async function startSlowly() {
  const flags = [...registry, '--name', 'web', '--upload-rate', '2', '--json'];
  const run = await startCli(['snapshot', domain.name, ...flags], { sandbox, env });
  await waitFor('a part is sent', async () => (await partsThere()) >= 1);
  return run;
}

async function partsThere(): Promise<number> {
  // Not the uploads of capability probes.
  const upload = (await listUploads(bucket)).find(({ Key }) => Key?.includes('/images/'));
  if (!upload) return 0;
  const command = { Bucket: bucket, Key: upload.Key, UploadId: upload.UploadId };
  return (await s3Client().send(new ListPartsCommand(command))).Parts?.length ?? 0;
}

async function dieSlowly(): Promise<void> {
  const { child, done } = await startSlowly();
  child.kill('SIGKILL');
  expect((await done).exitCode).toBeNull();
  await expectResumable();
}

async function expectResumable(): Promise<void> {
  const reported = await runCli(['status', '--json'], { sandbox });
  expect(reported.events.at(-1)).toMatchObject({ runs: [{ state: 'dead', resumable: true }] });
}

function basePath(): string {
  return join(domain.dir, 'base.qcow2');
}

/** Changes a layer like a client that writes into it. */
async function touchBase(): Promise<void> {
  const now = new Date();
  await utimes(basePath(), now, now);
}

/** Expects no data of images that are not active. */
async function expectNothingHalf(active: readonly string[]): Promise<void> {
  await expectWhole(domain, before);
  await expectNoRunLeft(sandbox);
  expect(await listUploads(bucket)).toEqual([]);
  const data = (await listKeys(bucket)).filter((key) => !key.includes('/record/'));
  expect(data.filter((key) => !active.some((id) => key.includes(id)))).toEqual([]);
}

/** The run's id is also the image's id. */
function runIdOf(events: readonly Record<string, unknown>[]): string {
  const { runs } = events.at(-1) as { runs: [{ runId: string }] };
  return runs[0].runId;
}

let published = '';

test('`recover --resume` completes a killed upload from the same layers', async () => {
  const ticks = await domain.ticks();
  await dieSlowly();
  expect(await partsThere()).toBe(1);

  // An unreadable layer is no reason to abandon the image.
  await rename(basePath(), `${basePath()}.away`);
  const early = await runCli(['recover', '--resume', '--json'], { sandbox, env });
  expect(early.exitCode, early.stdout + early.stderr).toBe(41);
  expect(early.stdout).toMatch(
    /the layers of the image \(.*base\.qcow2\) cannot be read: ENOENT.*run virt-publish recover --resume when/,
  );
  await expectResumable();
  expect(await partsThere()).toBe(1);
  await rename(`${basePath()}.away`, basePath());

  const ran = await runCli(['recover', '--resume', '--json'], { sandbox, env });
  expect(ran.exitCode, ran.stdout + ran.stderr).toBe(0);
  expect(ran.events.at(-1)).toMatchObject({ runs: [{ outcome: 'published', image: 'active' }] });
  published = runIdOf(ran.events);
  await expectNothingHalf([published]);
  const file = await pull('web', 'qcow2', sandbox, { env, args: registry });
  await expectSoundImage(file, 'qcow2', { ticks, marker: 'bucket' });
});

test('`recover --resume` reports a changed layer, and publishes nothing', async () => {
  await dieSlowly();
  await touchBase();
  const ran = await runCli(['recover', '--resume', '--json'], { sandbox, env });
  expect(ran.exitCode, ran.stdout + ran.stderr).toBe(0);
  expect(ran.events.at(-1)).toMatchObject({ runs: [{ image: 'killed' }] });
  const changed = /the layers of the image were changed since it was planned .*base\.qcow2/;
  expect(ran.stdout).toMatch(changed);
  // The record does not name files of the host.
  const killed = runIdOf(ran.events);
  const shown = await runCli(['show', killed, '--json', ...registry], { sandbox, env });
  expect(shown.stdout).toContain('and could not be resumed: INTEGRITY');
  expect(shown.stdout).not.toContain('base.qcow2');
  await expectNothingHalf([published]);
});

test('a run fails if a layer is written to during the upload', async () => {
  const { done } = await startSlowly();
  await touchBase();
  const ran = await done;
  expect(ran.events.at(-1)).toMatchObject({
    ...{ type: 'error', code: 'INTEGRITY' },
    message: expect.stringContaining('base.qcow2 was changed while it was read'),
  });
  await expectNothingHalf([published]);
});
