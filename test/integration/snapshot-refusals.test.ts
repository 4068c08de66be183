// `snapshot` rejects impossible requests with the right code and a hint, and does not touch the guest.
import { chmod, mkdir, readdir, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { afterAll, beforeAll, expect, test } from 'vitest';
import { makeSandbox, runCli, type Sandbox } from '../support/cli.ts';
import { createDomain, type TestDomain } from '../support/domains.ts';
import { must } from '../support/exec.ts';
import { expectWhole, type GuestPhoto, photograph } from '../support/guest-photo.ts';
import { failToPublish } from '../support/publishing.ts';
import { createBucket, listKeys, listUploads, s3Env } from '../support/s3.ts';

let domain: TestDomain;
let before: GuestPhoto;
let sandbox: Sandbox;

beforeAll(async () => {
  sandbox = await makeSandbox();
  domain = await createDomain({ shape: 'qcow2-on-qcow2', autostart: true });
  before = await photograph(domain);
});
afterAll(() => domain.destroy());

async function expectNoActiveImage(): Promise<void> {
  const ran = await runCli(['list', '--json'], { sandbox });
  expect(ran.exitCode, ran.stderr).toBe(0);
  const active = ran.stdout.includes('"status":"active"');
  expect(active).toBe(false);
}

test('`snapshot` rejects an unknown domain', async () => {
  const error = await failToPublish(['no-such-domain'], { sandbox });
  expect(error).toMatchObject({ exitCode: 10, code: 'DOMAIN_NOT_FOUND' });
  expect(error.message).toContain('no-such-domain');
});

test('`snapshot` rejects a domain with a running block job', async () => {
  const copy = join(domain.dir, 'foreign.qcow2');
  await domain.virsh('blockcopy', 'vda', copy, '--transient-job', '--bandwidth', '1');
  expect(await domain.blockJob('vda')).not.toBeNull();
  const error = await failToPublish([domain.name], { sandbox });
  expect(error).toMatchObject({ exitCode: 11, code: 'DOMAIN_BUSY' });
  expect(await domain.blockJob('vda')).not.toBeNull();
  await domain.virsh('blockjob', 'vda', '--abort');
  await expectWhole(domain, before);
});

test('`snapshot` rejects a disk that does not exist', async () => {
  const error = await failToPublish([domain.name, '--disk', 'sdz'], { sandbox });
  expect(error).toMatchObject({ exitCode: 12, code: 'DISK_UNSUPPORTED' });
  expect(error.message).toContain('vda');
});

test('`--with-nvram` is rejected for a domain without UEFI', async () => {
  const error = await failToPublish([domain.name, '--with-nvram'], { sandbox });
  expect(error).toMatchObject({ exitCode: 2, code: 'USAGE' });
  expect(error).toMatchObject({
    message: expect.stringMatching(/: its firmware is not UEFI$/),
    hint: 'omit --with-nvram',
  });
});

test('`--quiesce require` is rejected without an agent', async () => {
  const mute = await createDomain({ agent: 'absent' });
  const photo = await photograph(mute);
  const error = await failToPublish([mute.name, '--quiesce', 'require'], { sandbox });
  expect(error).toMatchObject({ exitCode: 21, code: 'QUIESCE' });
  await expectWhole(mute, photo);
  await mute.destroy();
});

test('`snapshot` rejects a work directory with too little space', async () => {
  const env = { VIRT_PUBLISH_RESERVE_MIN_BYTES: String(2 ** 50) };
  const error = await failToPublish([domain.name], { sandbox, env });
  expect(error).toMatchObject({ exitCode: 31, code: 'NO_SPACE' });
  await expectWhole(domain, before);
});

test('`snapshot` rejects a work directory that is not writable', async () => {
  const readOnly = join(sandbox.dir, 'read-only');
  await mkdir(readOnly);
  // Permissions do not stop root: a read-only mount does.
  await must('mount', ['-t', 'tmpfs', '-o', 'ro,size=1g', 'tmpfs', readOnly]);
  try {
    const env = { VIRT_PUBLISH_RESERVE_MIN_BYTES: '0' };
    const error = await failToPublish([domain.name, '--work-dir', readOnly], { sandbox, env });
    expect(error).toMatchObject({ exitCode: 32, code: 'WORK_DIR' });
  } finally {
    await must('umount', [readOnly]);
  }
  await expectWhole(domain, before);
});

test('`snapshot` ends with a hint if QEMU cannot reach the work directory', async () => {
  const closed = join(sandbox.dir, 'closed');
  await mkdir(closed);
  await writeFile(join(closed, 'letter'), 'of the owner of the folder');
  await chmod(closed, 0o700);
  const error = await failToPublish([domain.name, '--work-dir', join(closed, 'work')], { sandbox });
  expect(error).toMatchObject({ exitCode: 20, code: 'MIRROR' });
  expect(error.hint).toContain(`chmod o+x ${closed}, or choose another --work-dir`);
  await expectWhole(domain, before);
  expect(await readdir(join(closed, 'work'))).toEqual([]);
});

test('`snapshot` rejects a work directory that another user could change, or that is a file', async () => {
  const shared = join(sandbox.dir, 'shared');
  await mkdir(shared);
  await chmod(shared, 0o777);
  const file = join(sandbox.dir, 'file');
  await writeFile(file, '');
  for (const workDir of [shared, file]) {
    const error = await failToPublish([domain.name, '--work-dir', workDir], { sandbox });
    expect(error).toMatchObject({ exitCode: 32, code: 'WORK_DIR' });
    expect(error.message).toContain(workDir);
  }
  await expectWhole(domain, before);
  expect(await readdir(shared)).toEqual([]);
  expect(await readdir(join(sandbox.stateDir, 'runs'))).toEqual([]);
});

test('`snapshot` rejects a bucket that does not exist', async () => {
  const flags = ['--registry', 's3://vp-test-no-such-bucket/images'];
  const error = await failToPublish([domain.name, ...flags], { sandbox, env: s3Env() });
  expect(error).toMatchObject({ exitCode: 44, code: 'REGISTRY' });
  expect(error.message).toContain('vp-test-no-such-bucket');
  await expectWhole(domain, before);
});

test('`snapshot` rejects wrong credentials', async () => {
  const bucket = await createBucket();
  const env = { ...s3Env(), AWS_SECRET_ACCESS_KEY: 'not-the-5ecret' };
  const error = await failToPublish([domain.name, '--registry', `s3://${bucket}`], {
    sandbox,
    env,
  });
  expect(error).toMatchObject({ exitCode: 44, code: 'REGISTRY' });
  expect(error.message + error.stderr).not.toContain('not-the-5ecret');
  expect(await listKeys(bucket)).toEqual([]);
  expect(await listUploads(bucket)).toEqual([]);
  await expectWhole(domain, before);
});

test('`snapshot` rejects an S3 server that does not answer', async () => {
  const env = { ...s3Env(), AWS_ENDPOINT_URL_S3: 'http://127.0.0.1:9' };
  const error = await failToPublish([domain.name, '--registry', 's3://images'], { sandbox, env });
  expect(error).toMatchObject({ exitCode: 44, code: 'REGISTRY' });
  await expectWhole(domain, before);
});

test.each([
  ['an unknown mode', ['--mode', 'warm']],
  ['compression of a format that has none', ['--format', 'raw', '--compress', 'zstd']],
  ['a property without a value', ['--property', 'os_distro']],
  ['an alias with a bad name', ['--alias', '../etc']],
  ['a negative bandwidth', ['--bandwidth', '-1']],
])('%s', async (_, flags) => {
  const ran = await runCli(['snapshot', domain.name, ...flags], { sandbox });
  expect(ran.exitCode).toBe(2);
  expect(ran.stderr).not.toBe('');
  expect(ran.stdout).toBe('');
});

test('`snapshot` rejects a remote libvirt', async () => {
  const error = await failToPublish([domain.name, '--connect', 'qemu+ssh://elsewhere/system'], {
    sandbox,
  });
  expect(error).toMatchObject({ exitCode: 2, code: 'CONFIG' });
  expect(error.hint).toBe('run virt-publish on that host');
});

test('no rejected snapshot left an active image or changed the guest', async () => {
  await expectNoActiveImage();
  await expectWhole(domain, before);
});
