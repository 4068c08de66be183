// Several disks in one image are of one point in time, with a freeze, a pause or a managed save.
import { readdir } from 'node:fs/promises';
import { join } from 'node:path';
import { beforeAll, expect, test } from 'vitest';
import type { SnapshotPlan } from '#built/index.js';
import { bootImage } from '../support/boot.ts';
import { makeSandbox, runCli, type Sandbox } from '../support/cli.ts';
import { makeFileSystemDisk, makeRootDisk } from '../support/disks.ts';
import { createDomainOn, type TestDomain } from '../support/domains.ts';
import { makeFolder } from '../support/folders.ts';
import { expectWhole, type GuestPhoto, photograph } from '../support/guest-photo.ts';
import { fsckExt4, imageCheck, readFileFromImage, replayedCopy } from '../support/judges.ts';
import { expectNoRunLeft, failToPublish, type Published, publish } from '../support/publishing.ts';
import { createBucket, s3Env } from '../support/s3.ts';

/** Writes one number after the other, to each disk in turn, each on its disk before the next. */
const COUNT = `
for disk in b c; do mkdir -p /run/$disk; mount -t ext4 /dev/vd$disk /run/$disk; done
n=0
while true; do
  n=$((n + 1))
  for file in /data/count /run/b/count /run/c/count; do
    printf '%08d\\n' $n | dd of=$file conv=notrunc,fsync 2>/dev/null
  done
done`;

const FILES = { vda: '/data/count', vdb: '/count', vdc: '/count' };
const TARGETS = ['vda', 'vdb', 'vdc'];

let domain: TestDomain;
let before: GuestPhoto;
let sandbox: Sandbox;

beforeAll(async () => {
  sandbox = await makeSandbox();
  const dir = await makeFolder('vp-test');
  const disks = [
    await makeRootDisk(dir, 'qcow2-on-raw'),
    await makeFileSystemDisk(dir, 'vdb', 'raw'),
    await makeFileSystemDisk(dir, 'vdc', 'qcow2'),
  ];
  domain = await createDomainOn(dir, disks, { autostart: true, vncPassword: 'Vnc-5ecr' });
  await domain.agent.writeFile('/run/count.sh', COUNT);
  await domain.agent.exec('/bin/sh', '-c', 'setsid sh /run/count.sh >/dev/null 2>&1 &');
  await domain.waitForTick();
  before = await photograph(domain);
});

/** Pulls all disks; each must be sound, and all of the same moment. Their files. */
async function expectOneMoment(
  id: string,
  env: Record<string, string> = {},
): Promise<Record<string, string>> {
  const folder = join(sandbox.dir, id);
  const ran = await runCli(['pull', id, `${folder}/`, '--json'], { sandbox, env });
  expect(ran.exitCode, ran.stdout).toBe(0);
  expect((await readdir(folder)).sort()).toEqual(TARGETS.map((target) => `${target}.qcow2`));
  const counts: number[] = [];
  const files: Record<string, string> = {};
  for (const [target, path] of Object.entries(FILES)) {
    const file = join(folder, `${target}.qcow2`);
    expect((await imageCheck(file, 'qcow2')).exitCode).toBe(0);
    const raw = await replayedCopy(file, 'qcow2');
    expect((await fsckExt4(raw)).exitCode).toBe(0);
    counts.push(Number(await readFileFromImage(raw, path)));
    files[target] = file;
  }
  const [a = 0, b = 0, c = 0] = counts;
  expect(c, `${counts}`).toBeGreaterThan(0);
  expect([b <= a && a <= b + 1, c <= b && b <= c + 1], `${counts}`).toEqual([true, true]);
  expect(a - c, `${counts}`).toBeLessThanOrEqual(1);
  return files;
}

/** The record lists all disks, and its own fields are those of the root disk. */
function expectListed({ record }: Published): void {
  const listed = record.disks as Record<string, unknown>[];
  expect(listed.map(({ target, boot_index }) => [target, boot_index])).toEqual([
    ['vda', 0],
    ['vdb', null],
    ['vdc', null],
  ]);
  expect(listed[1]).toMatchObject({ bus: 'virtio', disk_format: 'qcow2', name: 'vdb.qcow2' });
  expect(record.data).toMatchObject({ name: 'vda.qcow2', sha256: listed[0]?.sha256 });
  expect(record).toMatchObject({ size: listed[0]?.size, virtual_size: listed[0]?.virtual_size });
}

test('all disks of a frozen guest are of one point in time, and the root disk boots', async () => {
  const published = await publish([domain.name, '--all-disks'], { sandbox });
  await expectWhole(domain, before);
  await expectNoRunLeft(sandbox);
  expectListed(published);
  expect(published.record.properties.snapshot_consistency).toBe('filesystem');
  expect(published.record.properties.snapshot_pause_ms).toBeUndefined();
  const { vda = '' } = await expectOneMoment(published.id);
  const booted = await bootImage(vda, 'qcow2');
  await booted.waitForTick();
  await booted.destroy();
});

test('an unfrozen guest is paused for a moment, which is reported; to S3', async () => {
  const env = { ...s3Env(), VIRT_PUBLISH_REGISTRY: `s3://${await createBucket()}/golden` };
  const flags = ['--all-disks', '--quiesce', 'off', '--method', 'copy'];
  const published = await publish([domain.name, ...flags], { sandbox, env });
  await expectWhole(domain, before);
  const { snapshot_consistency, snapshot_pause_ms } = published.record.properties;
  expect(snapshot_consistency).toBe('crash');
  expect(Number(snapshot_pause_ms)).toBeGreaterThan(0);
  expect(JSON.stringify(published.events)).toContain('the guest is paused for a moment');
  // The root disk's image is made of its layers while it is sent, another's must be a file.
  const converts = published.events.filter(({ step, detail }) => step === 'convert' && detail);
  expect(converts.map(({ detail }) => detail)).toEqual([
    'vda: from its layers, during the upload',
    'vdb: from its layers, during the upload',
    'vdc',
  ]);
  await expectOneMoment(published.id, env);
});

test('several disks of a cold snapshot are of the moment of the save', async () => {
  const published = await publish([domain.name, '--all-disks', '--mode', 'cold'], { sandbox });
  await expectWhole(domain, before);
  await expectOneMoment(published.id);
});

test('a paused guest stays paused; two named disks are published in boot order', async () => {
  await domain.virsh('suspend');
  const paused = await photograph(domain);
  const flags = ['--disk', 'vdc', '--disk', 'vda'];
  const { id, record, events } = await publish([domain.name, ...flags], { sandbox });
  await expectWhole(domain, paused);
  expect(record.properties.snapshot_pause_ms).toBeUndefined();
  expect(JSON.stringify(events)).not.toContain('is paused for a moment');
  await domain.virsh('resume');
  await expectWhole(domain, before);

  const file = join(sandbox.dir, 'one.qcow2');
  const refused = await runCli(['pull', id, file], { sandbox });
  expect(refused.exitCode).toBe(2);
  expect(refused.stderr).toMatch(
    /has 2 disks \(vda, vdc\)\nhint: name one with --disk vda, or .* DIR\//,
  );
  const pulled = await runCli(['pull', id, file, '--disk', 'vdc'], { sandbox });
  expect(pulled.exitCode, pulled.stderr).toBe(0);
  const raw = await replayedCopy(file, 'qcow2');
  expect(Number(await readFileFromImage(raw, '/count'))).toBeGreaterThan(0);
});

test('the error for a disk that cannot be taken with others names it, and the hint those that can', async () => {
  const seed = await makeFileSystemDisk(domain.dir, 'vdd', 'raw');
  await domain.virsh('attach-disk', seed.path, 'vdd', '--mode', 'readonly');
  const refused = await failToPublish([domain.name, '--all-disks'], { sandbox });
  expect(refused).toMatchObject({ exitCode: 12, code: 'DISK_UNSUPPORTED' });
  expect(refused.message).toMatch(/vdd .* is read-only/);
  expect(refused.hint).toMatch(/--disk vda --disk vdb --disk vdc$/);
  const none = await failToPublish([domain.name, '--disk', 'vdz'], { sandbox });
  expect(none.message).toContain('it has: vda, vdb, vdc, vdd');

  const named = ['--disk', 'vda', '--disk', 'vdd', '--quiesce', 'off'];
  const dry = await runCli(['snapshot', domain.name, ...named, '--dry-run', '--json'], { sandbox });
  const { plan } = dry.events.at(-1) as { plan: SnapshotPlan };
  expect(plan).toMatchObject({ pauses: true, disks: [{ target: 'vda' }, { target: 'vdd' }] });
  expect(plan.space.map(({ purpose }) => purpose).sort()).toEqual(
    ['image', 'delta'].flatMap((what) => [`the ${what} of vda`, `the ${what} of vdd`]).sort(),
  );
  await publish([domain.name, ...named], { sandbox });
});
