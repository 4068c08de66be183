// File systems that fill up or become read-only during a run: the run aborts, and no guest is paused.
import { copyFile, mkdir } from 'node:fs/promises';
import { join } from 'node:path';
import { beforeEach, expect, test } from 'vitest';
import { makeSandbox, runCli, type Sandbox, startCli } from '../support/cli.ts';
import { createDomain, createDomainOn, type TestDomain } from '../support/domains.ts';
import { must, run } from '../support/exec.ts';
import { expectWhole, photograph } from '../support/guest-photo.ts';
import { lab } from '../support/lab.ts';
import { fillUp, makeSmallDisk, type SmallDisk } from '../support/small-disk.ts';
import { waitFor } from '../support/wait.ts';
import { findConvert, slowQemuImg } from './slow-qemu-img.ts';
import { expectNothingLeft, imagesIn, untilWhole } from './whole.ts';

const MIB = 1024 * 1024;
const RESERVE = 32 * MIB;

let sandbox: Sandbox;
beforeEach(async () => {
  sandbox = await makeSandbox();
});

/** A guest whose disk grows on this file system: it is paused first if the file system is full. */
async function guestBeside(disk: SmallDisk): Promise<TestDomain> {
  const dir = join(disk.path, 'beside');
  await mkdir(dir, { mode: 0o711 });
  const base = join(dir, 'base.raw');
  await copyFile(lab().rootImage, base);
  const path = join(dir, 'disk.qcow2');
  const backing = ['-b', base, '-F', 'raw'];
  await must('qemu-img', ['create', '-q', '-f', 'qcow2', ...backing, path]);
  const release = () => Promise.resolve();
  return createDomainOn(dir, [
    { target: 'vda', type: 'file', path, format: 'qcow2', backing: [], release },
  ]);
}

test.each(['mirror', 'convert'])(
  'a run aborts before free space falls below the reserve during the %s',
  async (step) => {
    const disk = await makeSmallDisk(400);
    const beside = await guestBeside(disk);
    const domain = await createDomain({ shape: 'qcow2' });
    const before = await photograph(domain);
    const besideBefore = await photograph(beside);
    const env = {
      VIRT_PUBLISH_RESERVE_MIN_BYTES: String(RESERVE),
      ...(step === 'convert' ? await slowQemuImg(200) : {}),
    };
    const workDir = join(disk.path, 'work');
    const speed = step === 'mirror' ? ['--bandwidth', '2'] : [];
    const args = ['snapshot', domain.name, '--work-dir', workDir, ...speed, '--json'];
    const { child, done } = await startCli(args, { sandbox, env });
    if (step === 'mirror') await waitFor('the mirror', () => domain.blockJob());
    else await waitFor('qemu-img', () => findConvert(workDir));
    let freeAtEnd = Number.NaN;
    child.once('exit', () => {
      freeAtEnd = 0;
    });
    await must('fallocate', [
      ...['-l', String((await disk.free()) - RESERVE - 48 * MIB), join(disk.path, 'ballast')],
    ]);
    const least = await fillUp(disk, () => !Number.isNaN(freeAtEnd));
    const ran = await done;
    expect(ran.exitCode, ran.stdout).toBe(31);
    expect(ran.events.at(-1)).toMatchObject({ code: 'NO_SPACE' });
    // The filler continues until the run has ended, so its files do not count.
    expect(least).toBeGreaterThan(RESERVE / 2);
    await expectWhole(domain, before);
    await expectWhole(beside, besideBefore);
    expect((await beside.virsh('domblkerror')).trim()).toBe('No errors found');
    await expectNothingLeft(sandbox);
    expect((await imagesIn(sandbox)).map(({ status }) => status)).toEqual(['killed']);
    await domain.destroy();
    await beside.destroy();
    await disk.remove();
  },
);

test.each([
  ['mirror', 100],
  ['convert', 200],
])(
  'a run without a reserve ends with NO_SPACE if the %s has no space, and the guest keeps running',
  async (step, size) => {
    const disk = await makeSmallDisk(size);
    const domain = await createDomain({ shape: 'qcow2' });
    const before = await photograph(domain);
    const env = {
      VIRT_PUBLISH_RESERVE_MIN_BYTES: '0',
      VIRT_PUBLISH_RESERVE_FRACTION: '0',
      ...(step === 'convert' ? await slowQemuImg(200) : {}),
    };
    const speed = step === 'mirror' ? ['--bandwidth', '4'] : [];
    const args = ['snapshot', domain.name, '--work-dir', disk.path, ...speed, '--json'];
    const { done } = await startCli(args, { sandbox, env });
    if (step === 'mirror') await waitFor('the mirror', () => domain.blockJob());
    else await waitFor('qemu-img', () => findConvert(disk.path));
    await must('sh', ['-c', `dd if=/dev/zero of=${disk.path}/filler bs=1M 2>/dev/null || true`]);
    const ran = await done;
    expect(ran.exitCode, ran.stdout).toBe(31);
    await expectWhole(domain, before);
    await expectNothingLeft(sandbox);
    await domain.destroy();
    await disk.remove();
  },
);

test('a run publishes nothing if the disk is full when the mirror is ended', async () => {
  const disk = await makeSmallDisk(200);
  const domain = await createDomain({ shape: 'qcow2' });
  const before = await photograph(domain);
  const env = {
    VIRT_PUBLISH_RESERVE_MIN_BYTES: '0',
    VIRT_PUBLISH_RESERVE_FRACTION: '0',
    // When the run is stopped before the freeze, the mirror is ready and follows the guest's writes.
    VIRT_PUBLISH_TEST_AT: 'intent:freeze=SIGSTOP',
  };
  const args = ['snapshot', domain.name, '--work-dir', disk.path, '--json'];
  const { child, done } = await startCli(args, { sandbox, env });
  await waitFor('the mirror', async () => (await domain.liveXml()).includes("ready='yes'"));
  await must('sh', ['-c', `dd if=/dev/zero of=${disk.path}/filler bs=1M 2>/dev/null || true`]);
  await must('sh', ['-c', `dd if=/dev/zero of=${disk.path}/rest bs=4k 2>/dev/null || true`]);
  child.kill('SIGCONT');
  const ran = await done;
  expect(ran.exitCode, ran.stdout).toBe(31);
  await expectWhole(domain, before);
  await expectNothingLeft(sandbox);
  await domain.destroy();
  await disk.remove();
});

test('a run ends with NO_SPACE if the registry fills up before the upload, and leaves no data there', async () => {
  const disk = await makeSmallDisk(200);
  const domain = await createDomain({ shape: 'qcow2' });
  const env = {
    VIRT_PUBLISH_RESERVE_MIN_BYTES: String(16 * MIB),
    VIRT_PUBLISH_TEST_AT: 'point:captured=SIGSTOP',
  };
  const registry = join(disk.path, 'registry');
  const args = ['snapshot', domain.name, '--registry', registry, '--json'];
  const { child, done } = await startCli(args, { sandbox, env });
  const journals = ['-rqs', '"name":"captured"', join(sandbox.stateDir, 'runs')];
  await waitFor('the capture', async () => (await run('grep', journals)).exitCode === 0);
  const ballast = String((await disk.free()) - 8 * MIB);
  await must('fallocate', ['-l', ballast, join(disk.path, 'ballast')]);
  child.kill('SIGCONT');
  const ran = await done;
  expect(ran.exitCode, ran.stdout).toBe(31);
  expect(await disk.free()).toBeGreaterThan(7 * MIB);
  const data = await run('find', [registry, '-name', '*.qcow2']);
  expect(data.stdout).toBe('');
  await expectNothingLeft(sandbox);
  await domain.destroy();
  await disk.remove();
});

test('a run restores the guest if state and work directory become read-only', async () => {
  const disk = await makeSmallDisk(200);
  const domain = await createDomain({ shape: 'qcow2', autostart: true });
  const before = await photograph(domain);
  const env = {
    VIRT_PUBLISH_STATE_DIR: disk.path,
    VIRT_PUBLISH_RESERVE_MIN_BYTES: '0',
    VIRT_PUBLISH_REGISTRY: join(sandbox.stateDir, 'registry'),
  };
  const args = ['snapshot', domain.name, '--bandwidth', '4', '--json'];
  const { done } = await startCli(args, { sandbox, env });
  await waitFor('the mirror', () => domain.blockJob());
  await disk.makeReadOnly();
  const ran = await done;
  expect([20, 31], ran.stdout).toContain(ran.exitCode);
  expect(ran.stdout).toContain("cannot remove the run's files");
  await untilWhole(domain, before, 1000);
  await expectWhole(domain, before);
  expect((await imagesIn(sandbox)).map(({ status }) => status)).toEqual(['killed']);
  const again = await runCli(['snapshot', domain.name, '--json'], { sandbox, env });
  expect(again.exitCode).toBe(32);
  await expectWhole(domain, before);
  await domain.destroy();
  await disk.remove();
});

test('the guard restores the guest of a killed run if the directories are read-only', async () => {
  const disk = await makeSmallDisk(200);
  const domain = await createDomain({ shape: 'qcow2', autostart: true });
  const before = await photograph(domain);
  const env = {
    VIRT_PUBLISH_STATE_DIR: disk.path,
    VIRT_PUBLISH_RESERVE_MIN_BYTES: '0',
    VIRT_PUBLISH_REGISTRY: join(sandbox.stateDir, 'registry'),
  };
  const args = ['snapshot', domain.name, '--bandwidth', '4', '--json'];
  const { child, done } = await startCli(args, { sandbox, env });
  await waitFor('the mirror', () => domain.blockJob());
  await disk.makeReadOnly();
  child.kill('SIGKILL');
  await done;
  await untilWhole(domain, before, 3000);
  await domain.destroy();
  await disk.remove();
});
