// The cold mode on a file system with reflinks: the guest runs again before the image is made from a clone.
import { copyFile, mkdir, readdir, readFile } from 'node:fs/promises';
import { join } from 'node:path';
import { expect, test } from 'vitest';
import { makeSandbox, runCli, startCli } from '../support/cli.ts';
import { makeFileSystemDisk } from '../support/disks.ts';
import { createDomainOn, type TestDomain } from '../support/domains.ts';
import { must } from '../support/exec.ts';
import { expectWhole, photograph } from '../support/guest-photo.ts';
import { sameContent } from '../support/judges.ts';
import { lab } from '../support/lab.ts';
import { makeSmallDisk } from '../support/small-disk.ts';
import { waitFor } from '../support/wait.ts';
import { expectNothingLeft, expectUnreadable, imagesIn, untilWhole } from './whole.ts';

/** Two disks; the first is an overlay whose backing path is relative: a clone in another folder must not follow it. */
async function guestOn(dir: string): Promise<TestDomain> {
  await mkdir(dir, { mode: 0o711 });
  await copyFile(lab().rootImage, join(dir, 'base.raw'));
  const path = join(dir, 'disk.qcow2');
  const backing = ['-b', 'base.raw', '-F', 'raw'];
  await must('qemu-img', ['create', '-q', '-f', 'qcow2', ...backing, path]);
  const release = () => Promise.resolve();
  return createDomainOn(dir, [
    { target: 'vda', type: 'file', path, format: 'qcow2', backing: [], release },
    await makeFileSystemDisk(dir, 'vdb', 'raw'),
  ]);
}

async function isStopped(pid: number | undefined): Promise<boolean> {
  return / T /.test(await readFile(`/proc/${pid}/stat`, 'utf8'));
}

test('a cold run starts the guest before it reads the clones, and a kill afterwards does not touch the guest', async () => {
  const disk = await makeSmallDisk(800, 'xfs');
  const sandbox = await makeSandbox();
  const domain = await guestOn(join(disk.path, 'guest'));
  await domain.agent.writeFile('/run/in-memory', 'alone');
  const before = await photograph(domain);
  const workDir = join(disk.path, 'work');
  const flags = ['--mode', 'cold', '--all-disks', '--work-dir', workDir, '--json'];
  const args = ['snapshot', domain.name, ...flags];
  const least = { VIRT_PUBLISH_RESERVE_MIN_BYTES: '0' };

  const env = { ...least, VIRT_PUBLISH_TEST_AT: 'done:save=SIGSTOP' };
  const { child, done } = await startCli(args, { sandbox, env });
  await waitFor('the save', async () => isStopped(child.pid));
  const reference = join(domain.dir, 'reference.qcow2');
  await must('cp', ['--reflink=always', domain.diskPath(), reference]);
  child.kill('SIGCONT');
  const ran = await done;

  expect(ran.exitCode, ran.stdout).toBe(0);
  const steps = ran.events.filter(({ type }) => type === 'step');
  const order = steps.map(({ step, state }) => `${step} ${state}`);
  expect(order.indexOf('clone done')).toBeGreaterThan(order.indexOf('save done'));
  expect(order.indexOf('start done')).toBeGreaterThan(order.indexOf('clone done'));
  expect(order.indexOf('convert started')).toBeGreaterThan(order.indexOf('start done'));
  await expectWhole(domain, before);
  await domain.waitForTick();
  const { image } = ran.events.at(-1) as { image: { id: string } };
  const pulled = await runCli(['pull', image.id, 'pulled/'], { sandbox });
  expect(pulled.exitCode, pulled.stderr).toBe(0);
  const clone = (target: string) => {
    return { path: join(sandbox.dir, 'pulled', `${target}.qcow2`), format: 'qcow2' };
  };
  expect(await sameContent({ path: reference, format: 'qcow2' }, clone('vda'))).toBe(true);
  await must('qemu-img', ['compare', '-U', '-f', 'raw', domain.diskPath('vdb'), clone('vdb').path]);

  // Killed together with its guard between the start of the guest and the convert.
  const dead = { ...least, VIRT_PUBLISH_TEST_AT: 'undone:save=SIGKILL,guard' };
  expect((await runCli(args, { sandbox, env: dead })).exitCode).toBeNull();
  await untilWhole(domain, before, 100);
  expect((await readdir(workDir, { recursive: true })).join(' ')).toContain('clone.qcow2');
  await expectUnreadable(workDir);
  expect((await runCli(['recover'], { sandbox, env: least })).exitCode).toBe(0);
  await expectNothingLeft(sandbox);
  expect(await readdir(workDir)).toEqual([]);
  const states = (await imagesIn(sandbox)).map(({ status }) => status);
  expect(states.sort()).toEqual(['active', 'killed']);
  expect(await domain.agent.readFile('/run/in-memory')).toBe('alone');
  await domain.destroy();
  await disk.remove();
});
