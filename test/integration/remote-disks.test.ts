// Disks outside this host: NBD, a file on top of NBD, and a volume of a pool.
import { join } from 'node:path';
import { expect, test } from 'vitest';
import { cleanUpLater } from '../support/cleanup.ts';
import { makeSandbox, runCli } from '../support/cli.ts';
import { makeDataDisk, makeRootDisk, type TestDisk } from '../support/disks.ts';
import { createDomainOn, virsh } from '../support/domains.ts';
import { must } from '../support/exec.ts';
import { makeFolder } from '../support/folders.ts';
import { expectWhole, photograph } from '../support/guest-photo.ts';
import { sameContent } from '../support/judges.ts';
import { serveNbd } from '../support/nbd-server.ts';
import {
  expectGoodImage,
  expectNoRunLeft,
  failToPublish,
  publish,
  pull,
} from '../support/publishing.ts';

const driver = (format: string) => `<driver name='qemu' type='${format}'/>`;

/** The root disk over NBD: what the guest has as raw is a qcow2 at the server. */
async function rootOverNbd(dir: string): Promise<TestDisk> {
  const disk = await makeRootDisk(dir, 'qcow2');
  const { port } = await serveNbd(disk.path, { format: 'qcow2', name: 'root' });
  const host = `<host name='127.0.0.1' port='${port}'/>`;
  const xml = `${driver('raw')}<source protocol='nbd' name='root'>${host}</source>`;
  return { ...disk, foreignSource: { type: 'network', xml } };
}

/** A local overlay, whose backing file is served over NBD. */
async function overlayOnNbd(dir: string): Promise<TestDisk> {
  const base = join(dir, 'base.raw');
  await must('qemu-img', ['create', '-q', '-f', 'raw', base, '16M']);
  await must('qemu-io', ['-f', 'raw', '-c', 'write -P 0x5a 0 1M', base]);
  const { port } = await serveNbd(base, { format: 'raw', name: 'base' });
  const path = join(dir, 'overlay.qcow2');
  const url = `nbd://127.0.0.1:${port}/base`;
  await must('qemu-img', ['create', '-q', '-f', 'qcow2', '-b', url, '-F', 'raw', path]);
  await must('qemu-io', ['-f', 'qcow2', '-c', 'write -P 0xa5 1M 1M', path]);
  const target = 'vdb';
  return {
    target,
    type: 'file',
    path,
    format: 'qcow2',
    backing: [],
    release: async () => undefined,
  };
}

/** A volume of a directory pool. */
async function volumeOfPool(dir: string): Promise<TestDisk> {
  const disk = await makeDataDisk(dir, 'qcow2');
  const pool = dir.split('/').at(-1) ?? '';
  await virsh('pool-create-as', pool, 'dir', '--target', dir);
  cleanUpLater({}, async () => {
    await virsh('pool-destroy', pool);
  });
  const xml = `${driver('qcow2')}<source pool='${pool}' volume='data.qcow2'/>`;
  return { ...disk, target: 'vdc', foreignSource: { type: 'volume', xml } };
}

test('remote disks are published live, offline if they are readable, and else rejected', async () => {
  const sandbox = await makeSandbox();
  const dir = await makeFolder('vp-test');
  const disks = [await rootOverNbd(dir), await overlayOnNbd(dir), await volumeOfPool(dir)];
  const domain = await createDomainOn(dir, disks);
  await domain.agent.writeFile('/data/marker', 'over NBD');
  const before = await photograph(domain);
  const ticks = await domain.ticks();

  const { id } = await publish([domain.name, '--all-disks'], { sandbox });
  await expectWhole(domain, before);
  await expectNoRunLeft(sandbox);

  const copied = await publish([domain.name, '--method', 'copy', '--name', 'copied'], { sandbox });
  expect(copied.record.properties.snapshot_method).toBe('copy');
  await expectWhole(domain, before);

  for (const target of ['vda', 'vdb']) {
    const flags = ['--mode', 'cold', '--disk', target];
    const cold = await failToPublish([domain.name, ...flags], { sandbox });
    expect(cold).toMatchObject({ exitCode: 12, code: 'DISK_UNSUPPORTED' });
    expect(cold.message).toContain('is not completely on this host');
  }
  await expectWhole(domain, before);
  await domain.shutdown();

  const offline = await publish([domain.name], { sandbox });
  expect(offline.record.properties.snapshot_mode).toBe('offline');
  const off = await pull(offline.id, 'qcow2', sandbox);
  // Past the lock of the server.
  await must('qemu-img', ['compare', '-U', '-f', 'qcow2', '-F', 'qcow2', domain.diskPath(), off]);
  const volume = await publish([domain.name, '--disk', 'vdc', '--name', 'volume'], { sandbox });
  expect(
    await sameContent(domain.disk('vdc'), {
      path: await pull(volume.id, 'qcow2', sandbox),
      format: 'qcow2',
    }),
  ).toBe(true);
  const refused = await failToPublish([domain.name, '--disk', 'vdb'], { sandbox });
  expect(refused).toMatchObject({ exitCode: 12, code: 'DISK_UNSUPPORTED' });
  expect(refused.hint).toBe('start the domain, then use --mode live');
  await domain.destroy();

  const folder = join(sandbox.dir, 'all');
  expect((await runCli(['pull', id, `${folder}/`], { sandbox })).exitCode).toBe(0);
  const read = (pattern: string, file: string) =>
    must('qemu-io', ['-f', 'qcow2', '-r', '-c', `read -P ${pattern}`, join(folder, file)]);
  await read('0x5a 0 1M', 'vdb.qcow2');
  await read('0xa5 1M 1M', 'vdb.qcow2');
  await read('0xa5 0 1M', 'vdc.qcow2');
  await expectGoodImage(join(folder, 'vda.qcow2'), 'qcow2', { ticks, marker: 'over NBD' });
});
