// The live mode on every shape of disk: the image is valid, and the guest is unchanged.
import { chmod } from 'node:fs/promises';
import { expect, test } from 'vitest';
import { makeSandbox, runCli } from '../support/cli.ts';
import { DISK_SHAPES, type DiskShape, makeRootDisk } from '../support/disks.ts';
import { createDomain, createDomainOn } from '../support/domains.ts';
import { makeFolder } from '../support/folders.ts';
import { expectWhole, photograph } from '../support/guest-photo.ts';
import { imageCheck } from '../support/judges.ts';
import {
  expectGoodImage,
  expectNoRunLeft,
  expectSoundImage,
  failToPublish,
  publish,
  pull,
} from '../support/publishing.ts';
import { waitFor } from '../support/wait.ts';

test.each(DISK_SHAPES)('a running domain on %s is published live', async (shape) => {
  const sandbox = await makeSandbox();
  const domain = await createDomain({ shape, autostart: true, vncPassword: 'Vnc-5ecr' });
  const marker = `before the freeze of ${shape}`;
  await domain.agent.writeFile('/data/marker', marker);
  const before = await photograph(domain);
  const ticks = await domain.ticks();

  const { id, record } = await publish([domain.name], { sandbox });

  await expectWhole(domain, before);
  await expectNoRunLeft(sandbox);
  expect(record.properties).toMatchObject({
    image_type: 'snapshot',
    instance_uuid: domain.uuid,
    snapshot_mode: 'live',
    snapshot_method: 'rebase',
    snapshot_consistency: 'filesystem',
  });
  expect(Number(record.properties.snapshot_freeze_ms)).toBeGreaterThan(0);
  await domain.destroy();
  const image = await pull(id, 'qcow2', sandbox);
  const isGood = BOOTED.includes(shape) ? expectGoodImage : expectSoundImage;
  await isGood(image, 'qcow2', { ticks, marker });
});

/** A boot takes long: the images of the others are known to be what a boot needs. */
const BOOTED: readonly DiskShape[] = ['qcow2', 'chain3', 'block'];

const NONE = "<seclabel type='none' model='dac'/>";

test.each([
  ['none of the domain', NONE, ''],
  ['not this disk', undefined, "<seclabel model='dac' relabel='no'/>"],
])('a delta is given to QEMU if libvirt gives it %s', async (_, seclabel, ofDisk) => {
  const sandbox = await makeSandbox();
  const dir = await makeFolder('vp-test');
  const disk = await makeRootDisk(dir, 'qcow2');
  await chmod(disk.path, 0o666);
  const xml = `<driver name='qemu' type='qcow2'/><source file='${disk.path}'>${ofDisk}</source>`;
  const disks = [{ ...disk, foreignSource: { type: 'file' as const, xml } }];
  const domain = await createDomainOn(dir, disks, seclabel === undefined ? {} : { seclabel });
  const before = await photograph(domain);

  const { id } = await publish([domain.name], { sandbox });

  await expectWhole(domain, before);
  await domain.destroy();
  expect((await imageCheck(await pull(id, 'qcow2', sandbox), 'qcow2')).exitCode).toBe(0);
});

test('`--method copy` does not undefine the domain', async () => {
  const sandbox = await makeSandbox();
  const domain = await createDomain({ shape: 'qcow2-on-qcow2' });
  await domain.agent.writeFile('/data/marker', 'copy');
  const before = await photograph(domain);
  const ticks = await domain.ticks();

  const { id, record, events } = await publish([domain.name, '--method', 'copy'], { sandbox });

  expect(record.properties.snapshot_method).toBe('copy');
  expect(events.filter(({ step }) => step === 'undefine')).toEqual([]);
  await expectWhole(domain, before);
  await domain.destroy();
  await expectGoodImage(await pull(id, 'qcow2', sandbox), 'qcow2', { ticks, marker: 'copy' });
});

test('a paused domain is mirrored and stays paused', async () => {
  const sandbox = await makeSandbox();
  const domain = await createDomain({ state: 'paused' });
  const before = await photograph(domain);

  const { record } = await publish([domain.name], { sandbox });

  expect(record.properties).toMatchObject({
    snapshot_mode: 'live',
    snapshot_consistency: 'crash',
  });
  await expectWhole(domain, before);
  await domain.virsh('resume');
  await domain.waitForTick();
});

test('a transient domain is published live without an undefine, stays transient, and is rejected cold', async () => {
  const sandbox = await makeSandbox();
  const domain = await createDomain({ transient: true });
  await domain.agent.writeFile('/data/marker', 'transient');
  const before = await photograph(domain);
  expect(before.persistent).toBe('no');
  const ticks = await domain.ticks();

  let id = '';
  for (const method of ['rebase', 'copy']) {
    const published = await publish([domain.name, '--method', method], { sandbox });
    id = published.id;
    expect(published.record.properties.snapshot_method).toBe(method);
    expect(published.events.filter(({ step }) => step === 'undefine')).toEqual([]);
    await expectWhole(domain, before);
  }

  const cold = await failToPublish([domain.name, '--mode', 'cold'], { sandbox });
  expect(cold).toMatchObject({ exitCode: 12, code: 'DISK_UNSUPPORTED' });
  expect(cold.message).toMatch(/^cannot save domain .*: it is transient$/);
  await expectWhole(domain, before);

  const env = { VIRT_PUBLISH_TEST_AT: 'done:mirror=SIGKILL' };
  const died = await runCli(['snapshot', domain.name], { sandbox, env });
  expect(died.exitCode).toBeNull();
  // The guard ends the mirror, and makes nothing of the domain that it was not.
  await waitFor('the mirror to end', async () => (await domain.blockJob()) === null);
  expect((await runCli(['recover'], { sandbox })).exitCode).toBe(0);
  await expectWhole(domain, before);
  await expectNoRunLeft(sandbox);
  await domain.destroy();
  const image = await pull(id, 'qcow2', sandbox);
  await expectGoodImage(image, 'qcow2', { ticks, marker: 'transient' });
});
