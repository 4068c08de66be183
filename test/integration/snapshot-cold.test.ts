// The cold and the offline mode: the image equals the disk, and the guest's state is restored.
import { mkdir, rename, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { expect, test } from 'vitest';
import { makeSandbox, runCli } from '../support/cli.ts';
import { DISK_SHAPES } from '../support/disks.ts';
import { createDomain } from '../support/domains.ts';
import { must } from '../support/exec.ts';
import { makeFolder } from '../support/folders.ts';
import { expectWhole, photograph } from '../support/guest-photo.ts';
import { imageCheck, sameContent } from '../support/judges.ts';
import { expectGoodImage, expectNoRunLeft, publish, pull } from '../support/publishing.ts';

test('a cold snapshot saves a running domain, reads its disk, and starts it where it was', async () => {
  const sandbox = await makeSandbox();
  const domain = await createDomain({ shape: 'qcow2-on-qcow2', autostart: true });
  await domain.agent.writeFile('/data/marker', 'cold');
  const before = await photograph(domain);
  const ticks = await domain.ticks();
  await domain.agent.writeFile('/run/in-memory', 'alone');

  const { id, record } = await publish([domain.name, '--mode', 'cold'], { sandbox });

  await expectWhole(domain, before);
  await expectNoRunLeft(sandbox);
  expect(record.properties).toMatchObject({ snapshot_mode: 'cold', snapshot_consistency: 'crash' });
  // The very same boot of the guest: it was resumed and not started afresh.
  expect(await domain.agent.readFile('/run/in-memory')).toBe('alone');
  const clock = (await domain.agent.call('guest-get-time')) as number;
  expect(Math.abs(clock / 1e6 - Date.now())).toBeLessThan(5000);
  await domain.destroy();
  await expectGoodImage(await pull(id, 'qcow2', sandbox), 'qcow2', { ticks, marker: 'cold' });
});

test('`--mode cold` is rejected if a file for a start is missing, and the guest keeps running', async () => {
  const sandbox = await makeSandbox();
  const folder = await makeFolder('vp-test-needs');
  const [iso, logs] = [join(folder, 'cd.iso'), join(folder, 'log')];
  await writeFile(iso, Buffer.alloc(65_536));
  await mkdir(logs);
  const devices = `<disk type='file' device='cdrom'><driver name='qemu' type='raw'/><source file='${iso}'/><target dev='hdc' bus='ide'/></disk><channel type='file'><source path='${logs}/channel'/><target type='virtio' name='log'/></channel>`;
  const domain = await createDomain({ shape: 'qcow2', devices });
  const before = await photograph(domain);
  for (const gone of [iso, logs]) {
    await rename(gone, `${gone}.gone`);
    const args = ['snapshot', domain.name, '--mode', 'cold'];
    for (const each of [[...args, '--dry-run'], args]) {
      const refused = await runCli(each, { sandbox });
      expect(refused.exitCode, refused.stderr).toBe(12);
      expect(refused.stderr).toContain(gone);
    }
    const inspected = await runCli(['inspect', domain.name], { sandbox });
    expect(inspected.stdout).toMatch(new RegExp(`Cold +no: .*${gone}`));
    await rename(`${gone}.gone`, gone);
  }
  await expectWhole(domain, before);
  await publish([domain.name, '--mode', 'cold'], { sandbox });
  await expectWhole(domain, before);
  await domain.destroy();
});

test('a paused domain stays paused in cold mode, and the image equals its disk', async () => {
  const sandbox = await makeSandbox();
  const domain = await createDomain({ shape: 'chain3', state: 'paused' });
  const before = await photograph(domain);

  const { id } = await publish([domain.name, '--mode', 'cold'], { sandbox });

  await expectWhole(domain, before);
  const file = await pull(id, 'qcow2', sandbox);
  const { path, format } = domain.disk();
  await must('qemu-img', ['compare', '-U', '-f', format, '-F', 'qcow2', path, file]);
  await domain.virsh('resume');
  await domain.waitForTick();
});

test('`--mode auto` takes a shareable disk cold, and reports the reason', async () => {
  const sandbox = await makeSandbox();
  const domain = await createDomain({ shape: 'raw', shareable: true });
  const before = await photograph(domain);

  const { record, events } = await publish([domain.name, '--verbose'], { sandbox });

  expect(record.properties.snapshot_mode).toBe('cold');
  expect(JSON.stringify(events)).toContain('libvirt does not mirror shareable disks');
  expect(JSON.stringify(events)).toContain('no reflink, so the guest waits');
  await expectWhole(domain, before);
});

test.each(DISK_SHAPES)('a domain on %s that is off is published and stays off', async (shape) => {
  const sandbox = await makeSandbox();
  const domain = await createDomain({ shape, state: 'off', autostart: true });
  const before = await photograph(domain);

  const { id, record } = await publish([domain.name], { sandbox });

  await expectWhole(domain, before);
  await expectNoRunLeft(sandbox);
  expect(record.properties).toMatchObject({
    snapshot_mode: 'offline',
    snapshot_consistency: 'offline',
  });
  const file = await pull(id, 'qcow2', sandbox);
  expect(await sameContent(domain.disk(), { path: file, format: 'qcow2' })).toBe(true);
  expect((await imageCheck(file, 'qcow2')).exitCode).toBe(0);
});

test.each([
  ['raw', 'none'],
  ['vmdk', 'none'],
  ['vmdk', 'zlib'],
  ['vdi', 'none'],
  ['vhdx', 'none'],
  ['qcow2', 'zlib'],
  ['qcow2', 'zstd'],
])('format %s with compression %s has the same data', async (format, compress) => {
  const sandbox = await makeSandbox();
  const domain = await createDomain({ state: 'off' });

  const flags = ['--format', format, '--compress', compress];
  const { id, record } = await publish([domain.name, ...flags], { sandbox });

  expect(record.disk_format).toBe(format);
  const file = await pull(id, format, sandbox);
  expect(await sameContent(domain.disk(), { path: file, format })).toBe(true);
});

test('`--mode cold --disk` publishes a second disk of a running domain as raw', async () => {
  const sandbox = await makeSandbox();
  const domain = await createDomain({ secondDisk: { format: 'qcow2' } });
  const before = await photograph(domain);

  const flags = ['--mode', 'cold', '--disk', 'vdb', '--format', 'raw'];
  const { id } = await publish([domain.name, ...flags], { sandbox });

  await expectWhole(domain, before);
  const file = await pull(id, 'raw', sandbox);
  await must('qemu-io', ['-f', 'raw', '-r', '-c', 'read -P 0xa5 0 1M', file]);
  await domain.virsh('destroy');
  expect(await sameContent(domain.disk('vdb'), { path: file, format: 'raw' })).toBe(true);
});
