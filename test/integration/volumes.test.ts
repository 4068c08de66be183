// `volume-snapshot`: snapshots that the pool makes, an image that names them, and nothing left if it fails.
import { access, readdir, readFile, rm } from 'node:fs/promises';
import { basename, join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { afterAll, beforeAll, expect, test } from 'vitest';
import { expectNothingLeft, imagesIn, untilWhole } from '../faults/whole.ts';
import { makeSandbox, runCli, type Sandbox, startCli } from '../support/cli.ts';
import { createDomain, type TestDomain, virsh } from '../support/domains.ts';
import { must } from '../support/exec.ts';
import { type GuestPhoto, photograph } from '../support/guest-photo.ts';
import { fsckExt4, readFileFromImage, replayedCopy } from '../support/judges.ts';
import { createDirPool } from '../support/pools.ts';
import { failToPublish, publish } from '../support/publishing.ts';
import { lastTick } from '../support/ticks.ts';
import { waitFor } from '../support/wait.ts';

let domain: TestDomain;
let before: GuestPhoto;
let pool: string;
const COMMAND = 'volume-snapshot';
const TAKE = ['--quiesce', 'require'];

beforeAll(async () => {
  domain = await createDomain({ shape: 'qcow2', secondDisk: { format: 'raw' }, autostart: true });
});
afterAll(() => domain.destroy());

/** Paths of the disk's layers, the active one first. */
async function chainOf(target: string): Promise<string[]> {
  const list = await domain.virsh('domblklist');
  const source = new RegExp(`^ *${target} +(.+)$`, 'm').exec(list)?.[1] ?? '';
  const info = ['info', '--backing-chain', '--force-share', '--output=json', source];
  const layers = JSON.parse(await must('qemu-img', info)) as { filename: string }[];
  return layers.map(({ filename }) => filename);
}

async function expectRunning(): Promise<void> {
  expect(await domain.agent.frozen()).toBe(false);
  await domain.waitForTick();
}

async function snapshotNames(): Promise<string[]> {
  return (await domain.virsh('snapshot-list', '--name')).split('\n').filter(Boolean);
}

test('`volume-snapshot` refuses a disk that is not a volume; `snapshot --volume-snapshots` names the command', async () => {
  const sandbox = await makeSandbox();
  const plain = await failToPublish([domain.name, ...TAKE], { sandbox, command: COMMAND });
  expect(plain).toMatchObject({ exitCode: 12, code: 'DISK_UNSUPPORTED' });
  expect(plain.message).toContain(`disk vda of domain ${domain.name} is not a volume`);
  const flags = await failToPublish([domain.name, '--volume-snapshots', '--format', 'raw'], {
    sandbox,
  });
  expect(flags).toMatchObject({
    ...{ exitCode: 2, code: 'USAGE' },
    hint: `run virt-publish volume-snapshot ${domain.name}`,
  });
  expect(await imagesIn(sandbox)).toEqual([]);
});

test('a dry run prints the plan of each volume, and changes nothing', async () => {
  pool = await createDirPool(domain.dir);
  before = await photograph(domain);
  const sandbox = await makeSandbox();
  const ran = await runCli([COMMAND, domain.name, ...TAKE, '--dry-run'], { sandbox });
  expect(ran.stdout).toContain(`vda: ${pool}/disk.qcow2 (qcow2)`);
  expect(ran.stdout).toContain(`vdb: ${pool}/data.raw (raw)`);
  await untilWhole(domain, before, 0);
  expect(await snapshotNames()).toEqual([]);
});

test('a dry run reports a pool whose file system is read-only, and touches nothing', async () => {
  const sandbox = await makeSandbox();
  await must('mount', ['--bind', domain.dir, domain.dir]);
  try {
    await must('mount', ['-o', 'remount,bind,ro', domain.dir]);
    const ran = await runCli([COMMAND, domain.name, '--dry-run', '--json'], { sandbox });
    expect(ran.exitCode, ran.stdout).toBe(34);
    const message = `no overlay can be created in ${domain.dir}: its file system is read-only`;
    expect(ran.events.at(-1)).toMatchObject({
      code: 'VOLUMES',
      plan: {
        obstacles: [{ code: 'VOLUMES', message, hint: expect.stringContaining('writable') }],
      },
    });
    const text = await runCli([COMMAND, domain.name, '--dry-run'], { sandbox });
    expect(text.stdout).toMatch(
      /^Obstacle +no overlay can be created .*\n +hint +mount it writable/m,
    );
  } finally {
    await must('umount', [domain.dir]);
  }
  await untilWhole(domain, before, 0);
});

async function killAt(at: string, signal: 'SIGKILL' | 'SIGINT', sandbox: Sandbox): Promise<void> {
  const guard = signal === 'SIGKILL' ? ',guard' : '';
  const env = { VIRT_PUBLISH_TEST_AT: `${at}=${signal}${guard}` };
  const { done } = await startCli([COMMAND, domain.name, ...TAKE], { sandbox, env });
  expect((await done).exitCode).toBe(signal === 'SIGKILL' ? null : 130);
}

test.each(['done:freeze', 'point:taken', 'point:captured'])(
  'killed at %s: recover thaws the guest and removes the snapshots, and there is no image',
  async (at) => {
    const sandbox = await makeSandbox();
    await domain.agent.writeFile('/data/marker', at);
    await killAt(at, 'SIGKILL', sandbox);
    const ran = await runCli(['recover', '--json'], { sandbox });
    expect(ran.exitCode, ran.stdout).toBe(0);
    await untilWhole(domain, before, 0);
    expect(await snapshotNames()).toEqual([]);
    expect((await readdir(domain.dir)).filter((name) => name.includes('.vp-'))).toEqual([]);
    expect((await imagesIn(sandbox)).map(({ status }) => status)).toEqual(['killed']);
    await expectNothingLeft(sandbox);
    // What was written while it ran in the overlay is in its volume again.
    expect(await domain.agent.readFile('/data/marker')).toBe(at);
    await expectRunning();
  },
);

test('a guest that is frozen too long is thawed, the snapshots are removed, nothing is published', async () => {
  const sandbox = await makeSandbox();
  const env = { VIRT_PUBLISH_TIMEOUTS_FREEZE_MS: '1' };
  const late = await failToPublish([domain.name, ...TAKE], { sandbox, env, command: COMMAND });
  expect(late, late.message).toMatchObject({ exitCode: 21, code: 'QUIESCE' });
  expect(late.hint).toBe('raise timeouts.freezeMs');
  await untilWhole(domain, before, 0);
  expect(await snapshotNames()).toEqual([]);
  await expectNothingLeft(sandbox);
});

test('an interrupt after the snapshots removes them before the command ends', async () => {
  const sandbox = await makeSandbox();
  await killAt('point:captured', 'SIGINT', sandbox);
  await untilWhole(domain, before, 0);
  expect(await snapshotNames()).toEqual([]);
  expect((await imagesIn(sandbox)).map(({ status }) => status)).toEqual(['killed']);
  await expectNothingLeft(sandbox);
});

test('killed while libvirt makes the snapshot: recover waits for its end, and removes it', async () => {
  const sandbox = await makeSandbox();
  const env = { VIRT_PUBLISH_TEST_AT: 'point:taking=SIGSTOP,guard' };
  const args = [COMMAND, domain.name, '--quiesce', 'off'];
  const { child, done } = await startCli(args, { sandbox, env });
  const pid = child.pid ?? 0;
  const isStopped = async () => (await must('ps', ['-o', 'stat=', String(pid)])).startsWith('T');
  await waitFor('the stop', isStopped);
  const qemu = Number(await readFile(`/run/libvirt/qemu/${domain.name}.pid`, 'utf8'));
  process.kill(qemu, 'SIGSTOP');
  let recovering: ReturnType<typeof runCli>;
  try {
    child.kill('SIGCONT');
    await waitFor('libvirt', async () => (await snapshotNames()).length === 1);
    process.kill(-pid, 'SIGKILL');
    await done;
    recovering = runCli(['recover', '--json'], { sandbox });
    await sleep(2000);
  } finally {
    process.kill(qemu, 'SIGCONT');
  }
  const ran = await recovering;
  expect(ran.exitCode, ran.stdout).toBe(0);
  await untilWhole(domain, before, 0);
  expect(await snapshotNames()).toEqual([]);
  expect((await readdir(domain.dir)).filter((name) => name.includes('.vp-'))).toEqual([]);
  await expectNothingLeft(sandbox);
  await expectRunning();
});

test('the image names the volumes of the pool, frozen at one point in time, and consistent', async () => {
  const sandbox = await makeSandbox();
  await domain.agent.writeFile('/data/marker', 'before');
  const ticks = await domain.ticks();
  const { id, record } = await publish([domain.name, ...TAKE, '--alias', 'web/latest'], {
    sandbox,
    command: COMMAND,
  });
  await expectRunning();
  await domain.agent.writeFile('/data/marker', 'after');

  expect(record).toMatchObject({ size: 0, data: null, min_disk: 1, checksum: null });
  expect(record.properties).toMatchObject({
    image_type: 'snapshot',
    instance_uuid: domain.uuid,
    root_device_name: '/dev/vda',
    bdm_v2: 'True',
    snapshot_consistency: 'filesystem',
  });
  const mapping = JSON.parse(record.properties.block_device_mapping ?? '') as object[];
  const device = { source_type: 'snapshot', destination_type: 'volume', volume_size: 1 };
  expect(mapping).toMatchObject([
    { ...device, snapshot_id: `${pool}/disk.qcow2`, device_name: '/dev/vda', boot_index: 0 },
    { ...device, snapshot_id: `${pool}/data.raw`, device_name: '/dev/vdb', boot_index: null },
  ]);
  expect(mapping.map((each) => Object.keys(each).length)).toEqual([15, 15]);

  const mark = `vp-${id.slice(0, 8)}`;
  expect(await snapshotNames()).toEqual([mark]);
  for (const [target, name, stem] of [
    ['vda', 'disk.qcow2', 'disk'],
    ['vdb', 'data.raw', 'data'],
  ] as const) {
    const chain = await chainOf(target);
    expect(chain.map((path) => basename(path))).toEqual([`${stem}.${mark}.qcow2`, name]);
    const overlay = await virsh('vol-path', '--pool', pool, `${stem}.${mark}.qcow2`);
    expect(overlay.trim()).toBe(chain[0]);
  }
  const raw = await replayedCopy(join(domain.dir, 'disk.qcow2'), 'qcow2');
  expect((await fsckExt4(raw)).exitCode).toBe(0);
  expect(await readFileFromImage(raw, '/data/marker')).toBe('before');
  const counted = lastTick(await readFileFromImage(raw, '/data/ticks'));
  expect(counted).toBeGreaterThanOrEqual(ticks);

  const pulled = await runCli(['pull', 'web/latest', join(sandbox.dir, 'x'), '--json'], {
    sandbox,
  });
  expect(pulled.exitCode).toBe(40);
  expect(pulled.stdout).toContain(`${pool}/disk.qcow2, ${pool}/data.raw`);
  const verified = await runCli(['verify', id, '--json'], { sandbox });
  const unseen = [`${pool}/disk.qcow2`, `${pool}/data.raw`];
  expect(verified.events.at(-1)).toMatchObject({ images: [{ result: 'ok', unseen }] });
  // A second one begins where the first went on; killed once it is active, it stays as it is.
  await killAt('point:active', 'SIGKILL', sandbox);
  const recovered = await runCli(['recover', '--json'], { sandbox });
  expect(recovered.events.at(-1)).toMatchObject({
    runs: [{ outcome: 'recovered', image: 'active' }],
  });
  const second = (await imagesIn(sandbox)).find((image) => image.id !== id);
  expect(await chainOf('vda')).toHaveLength(3);
  const [first] = JSON.parse(second?.properties.block_device_mapping ?? '') as object[];
  expect(first).toMatchObject({ snapshot_id: `${pool}/disk.${mark}.qcow2` });
  // The guest's chain goes through the volumes: a delete leaves them alone.
  const deleted = await runCli(['delete', String(second?.id)], { sandbox });
  expect(deleted.exitCode, deleted.stderr).toBe(0);
  await access((await chainOf('vda'))[1] ?? '');
  await expectRunning();
});

test('recover keeps the overlay if the guest is off, or a file reads the volume, and reports it', async () => {
  const sandbox = await makeSandbox();
  const [below = ''] = await chainOf('vda');
  await killAt('point:captured', 'SIGKILL', sandbox);
  await domain.virsh('destroy');
  const off = await runCli(['recover', '--json'], { sandbox });
  expect(off.exitCode, off.stdout).not.toBe(0);
  expect(off.stdout).toContain('is off, and has its newest data in');
  await domain.virsh('start', '--paused');
  const reader = join(domain.dir, 'reader.qcow2');
  await must('qemu-img', ['create', '-q', '-f', 'qcow2', '-b', below, '-F', 'qcow2', reader]);
  const again = await failToPublish([domain.name, ...TAKE], { sandbox, command: COMMAND });
  expect(again).toMatchObject({ code: 'DOMAIN_BUSY' });
  const read = await runCli(['recover', '--json'], { sandbox });
  expect(read.stdout).toContain(`used by the overlay ${reader}`);
  expect(await chainOf('vda')).toHaveLength(4);

  await rm(reader);
  // If it is killed in the middle of its block job, the next one starts that job again.
  const env = { VIRT_PUBLISH_TEST_AT: 'done:commit=SIGKILL' };
  expect((await runCli(['recover'], { sandbox, env })).exitCode).toBeNull();
  expect(await domain.liveXml()).toContain("job='active-commit'");
  const recovered = await runCli(['recover', '--json'], { sandbox });
  expect(recovered.exitCode, recovered.stdout).toBe(0);
  expect(await domain.liveXml()).not.toContain('<mirror');
  expect((await chainOf('vda'))[0]).toBe(below);
  expect(await snapshotNames()).toHaveLength(2);
  await expectNothingLeft(sandbox);
});
