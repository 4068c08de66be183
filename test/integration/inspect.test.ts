// `inspect` reports a domain with all obstacles to a snapshot, and changes nothing.
import { writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { expect, test } from 'vitest';
import type { DomainReport, SnapshotPlan } from '#built/index.js';
import { makeChain } from '../support/chains.ts';
import { makeSandbox, runCli, type Sandbox } from '../support/cli.ts';
import { makeDataDisk } from '../support/disks.ts';
import { createDomainOn } from '../support/domains.ts';
import { expectNoRunLeft } from '../support/publishing.ts';

let sandbox: Sandbox;

async function inspect(name: string): Promise<DomainReport> {
  const ran = await runCli(['inspect', name, '--json'], { sandbox });
  expect(ran.exitCode, ran.stdout).toBe(0);
  return ran.events.at(-1) as unknown as DomainReport;
}

const RBD = `<disk type='network' device='disk'><driver name='qemu' type='raw'/>
<source protocol='rbd' name='pool/export'><host name='127.0.0.1' port='6789'/></source>
<target dev='vdc' bus='virtio'/></disk>`;
const CDROM = `<disk type='file' device='cdrom'><target dev='sda' bus='sata'/><readonly/></disk>`;

test('`inspect` reports a domain that is off, a remote disk, a block job, and snapshots', async () => {
  sandbox = await makeSandbox();
  const { dir, disk, paths } = await makeChain();
  const domain = await createDomainOn(dir, [disk, await makeDataDisk(dir, 'raw')], {
    ...{ state: 'off', autostart: true },
  });
  for (const [name, xml] of Object.entries({ rbd: RBD, cdrom: CDROM })) {
    await writeFile(join(dir, `${name}.xml`), xml);
    await domain.virsh('attach-device', join(dir, `${name}.xml`), '--config');
  }
  const stored = await domain.inactiveXml();
  const off = await inspect(domain.name);
  expect(off.domain).toMatchObject({
    ...{ name: domain.name, state: 'shutoff', persistent: true, autostart: true },
    ...{ firmware: 'bios', nvram: null, tpm: null, agent: 'silent', managedSave: false },
  });
  const shown = off.disks.map(({ target, isRoot, chosen }) => [target, isRoot, chosen?.mode]);
  expect(shown.sort()).toEqual([
    ['sda', false, undefined],
    ['vda', true, 'offline'],
    ['vdb', false, 'offline'],
    ['vdc', false, undefined],
  ]);
  expect(off.disks[0]?.layers.map(({ path }) => path)).toEqual(paths);
  expect(off.disks[0]?.layers[0]).toMatchObject({ format: 'qcow2', virtualSize: 192 * 1024 ** 2 });
  expect(off.disks[0]?.live).toMatchObject({
    possible: false,
    reason: expect.stringContaining('nothing to mirror'),
  });
  const network = /disk vdc is on rbd:pool\/export, which only the guest's QEMU can open/;
  expect(off.obstacles).toEqual([
    {
      ...{ target: 'vdc', code: 'DISK_UNSUPPORTED', message: expect.stringMatching(network) },
      hint: 'start the domain, then use --mode live',
    },
  ]);
  expect(off.plan).toMatchObject({ mode: 'offline', disk: { target: 'vda' } });
  expect(await domain.inactiveXml()).toBe(stored);

  await domain.virsh('detach-disk', 'vdc', '--config');
  await domain.virsh('start', '--paused');
  const [, top = '', base = ''] = paths;
  const job = ['--top', top, '--base', base, '--bandwidth', '1'];
  await domain.virsh('blockcommit', 'vda', ...job);
  const busy = await inspect(domain.name);
  expect(busy.disks[0]?.job?.type).toBe('commit');
  expect(busy.disks[0]?.layers).toHaveLength(4);
  expect(busy.obstacles).toHaveLength(1);
  expect(busy.obstacles[0]).toMatchObject({
    message: expect.stringMatching(/block job runs on disk vda/),
    hint: expect.stringMatching(/virsh blockjob/),
  });
  expect(busy.plan).toBeNull();
  const second = busy.disks.find(({ target }) => target === 'vdb');
  expect(second?.live).toEqual({ possible: true, reason: 'method rebase: the default' });
  expect(second?.chosen?.undefines).toContain('the autostart mark (set again)');
  expect(await domain.blockJob()).not.toBeNull();
  await domain.virsh('blockjob', 'vda', '--abort');

  await domain.virsh('snapshot-create-as', '--name', 'held', '--disk-only', '--no-metadata');
  await domain.virsh('snapshot-create-as', '--name', 'before', '--disk-only');
  const kept = await inspect(domain.name);
  expect(kept.snapshots).toMatchObject([
    { name: 'before', kind: 'external', memory: false, disks: ['vda', 'vdb'] },
  ]);
  expect(kept.disks[0]?.layers).toHaveLength(6);
  const why = 'an undefine could lose the metadata of its snapshots';
  expect(kept.disks[0]?.chosen).toMatchObject({ mode: 'live', method: 'copy', methodReason: why });
  expect(kept.obstacles).toEqual([]);
  const dry = await runCli(['snapshot', domain.name, '--dry-run', '--json'], { sandbox });
  const { plan } = dry.events.at(-1) as unknown as { plan: SnapshotPlan };
  expect(kept.plan?.space.map(({ needed }) => needed)).toEqual(
    plan.space.map(({ needed }) => needed),
  );
  const { space: _, image: __, ...same } = plan;
  expect(kept.plan).toMatchObject(same);

  const text = (await runCli(['inspect', domain.name], { sandbox })).stdout;
  for (const line of [
    /^Domain +vp-test-.*paused, persistent, autostart$/m,
    /^Snapshots +before \(external, .*\)$/m,
    /^Disk +vda, disk on virtio, root disk/m,
    /^Method +copy: an undefine could lose/m,
    /^Space +the image in .*: needs up to/m,
    /^No obstacles\.$/m,
  ])
    expect(text).toMatch(line);

  await domain.virsh('destroy');
  expect((await runCli(['inspect', 'vp-test-none'], { sandbox })).exitCode).toBe(10);
  await expectNoRunLeft(sandbox);
});
