// Nothing is published if a layer is replaced or written to between the inspection and the end of the read.
import { join } from 'node:path';
import { afterAll, beforeAll, expect, test } from 'vitest';
import { cleanUpLater } from '../support/cleanup.ts';
import { makeSandbox, runCli, type Sandbox } from '../support/cli.ts';
import type { TestDomain } from '../support/domains.ts';
import { must } from '../support/exec.ts';
import { makeFolder } from '../support/folders.ts';
import { backingXml, createStill, diskOf, makeNoise, makeOverlay } from '../support/layers.ts';
import { meddleAt } from '../support/meddling-qemu-img.ts';
import { expectNoRunLeft, failToPublish } from '../support/publishing.ts';

let sandbox: Sandbox;
let domain: TestDomain;
let base: string;
let device: string;

/** `vda` on a raw file, `vdb` on a block device. */
beforeAll(async () => {
  sandbox = await makeSandbox();
  const dir = await makeFolder('vp-test-changed');
  base = join(dir, 'base.raw');
  const file = await makeNoise(base);
  const { path } = await makeNoise(join(dir, 'device.raw'));
  device = (await must('losetup', ['--find', '--show', path])).trim();
  cleanUpLater({}, async () => {
    await must('losetup', ['--detach', device]);
  });
  const below = { path: device, format: 'raw' as const };
  const disks = [
    diskOf('vda', await makeOverlay(join(dir, 'a.qcow2'), file, '1M'), ''),
    diskOf(
      'vdb',
      await makeOverlay(join(dir, 'b.qcow2'), below, '1M'),
      `<backingStore type='block'><format type='raw'/><source dev='${device}'/>${backingXml([])}</backingStore>`,
    ),
  ];
  domain = await createStill(dir, disks, 'running');
});
afterAll(() => domain.destroy());

async function expectFailure(args: readonly string[], at: string, meddle: string, path: string) {
  const env = await meddleAt(at, meddle);
  const error = await failToPublish([domain.name, ...args], { sandbox, env });
  expect(error, error.message).toMatchObject({ exitCode: 42, code: 'INTEGRITY' });
  expect(error.message).toContain(`${path} was changed while it was read`);
  const listed = await runCli(['list', '--json'], { sandbox });
  expect(listed.stdout).not.toContain('"status":"active"');
  await expectNoRunLeft(sandbox);
}

/** Another file under its name; and the old one again. */
const replaced = () => `cp --sparse=never ${base} ${base}.new && mv ${base}.new ${base}`;
const written = () => `dd if=/dev/zero of=${base} bs=4k count=1 conv=notrunc,fsync status=none`;

test('a run fails if a layer is replaced during the convert of a delta', async () => {
  await expectFailure(['--format', 'raw'], 'convert', replaced(), base);
  expect(await domain.state()).toBe('paused');
  expect(await domain.info('Persistent')).toBe('yes');
  await domain.virsh('destroy');
  await domain.virsh('start', '--paused');
});

test('a cold run fails if a layer is written to while the guest is saved', async () => {
  await expectFailure(['--mode', 'cold'], 'convert', written(), base);
  expect(await domain.state()).toBe('paused');
});

test('an offline run fails if a layer is replaced or written to, also on a device', async () => {
  await domain.virsh('destroy');
  await expectFailure([], 'measure', replaced(), base);
  await expectFailure(['--format', 'raw'], 'convert', written(), base);
  const onDevice = `dd if=/dev/zero of=${device} bs=4k count=1 conv=notrunc,fsync status=none`;
  await expectFailure(['--disk', 'vdb'], 'convert', onDevice, device);
  const top = domain.diskPath();
  await expectFailure([], 'convert', `touch ${top}`, top);
});

test('`--verbose` reports which changes of a block device are not detected', async () => {
  const ran = await runCli(['snapshot', domain.name, '--disk', 'vdb', '--verbose'], { sandbox });
  expect(ran.exitCode, ran.stderr).toBe(0);
  expect(ran.stderr).toContain(`${device} is a block device: only writes through that device`);
});
