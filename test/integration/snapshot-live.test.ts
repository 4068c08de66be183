// The live path on every shape of disk: the image is good, and the guest has not noticed.
import { expect, test } from 'vitest';
import { makeSandbox } from '../support/cli.ts';
import { DISK_SHAPES } from '../support/disks.ts';
import { createDomain } from '../support/domains.ts';
import { expectWhole, photograph } from '../support/guest-photo.ts';
import { expectGoodImage, expectNoRunLeft, publish, pull } from '../support/publishing.ts';

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
  await expectGoodImage(await pull(id, 'qcow2', sandbox), 'qcow2', { ticks, marker });
});

test('method copy takes a domain without undefining it', async () => {
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

test('a domain with a snapshot is taken by copy, says why, and keeps its snapshot', async () => {
  const sandbox = await makeSandbox();
  const domain = await createDomain({ shape: 'qcow2' });
  await domain.virsh('snapshot-create-as', 'before');
  const snapshots = await domain.virsh('snapshot-list', '--name');
  const before = await photograph(domain);

  const { record } = await publish([domain.name], { sandbox });

  expect(record.properties.snapshot_method).toBe('copy');
  await expectWhole(domain, before);
  expect(await domain.virsh('snapshot-list', '--name')).toBe(snapshots);
});

test('asked for rebase, a domain with a snapshot keeps it as well', async () => {
  const sandbox = await makeSandbox();
  const domain = await createDomain({ shape: 'qcow2' });
  await domain.virsh('snapshot-create-as', 'before');
  const snapshots = await domain.virsh('snapshot-list', '--name');
  const before = await photograph(domain);

  const { record } = await publish([domain.name, '--method', 'rebase'], { sandbox });

  expect(record.properties.snapshot_method).toBe('rebase');
  await expectWhole(domain, before);
  expect(await domain.virsh('snapshot-list', '--name')).toBe(snapshots);
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

test('a transient domain is taken without an undefine and left transient', async () => {
  const sandbox = await makeSandbox();
  const domain = await createDomain({ transient: true });
  const before = await photograph(domain);

  const { events } = await publish([domain.name], { sandbox });

  expect(events.filter(({ step }) => step === 'undefine')).toEqual([]);
  await expectWhole(domain, before);
});
