// A directory registry whose image a running guest has as its disk: nothing removes it.
import { spawn } from 'node:child_process';
import { existsSync } from 'node:fs';
import { mkdir, readFile, rename, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { expect, test } from 'vitest';
import { cleanUpLater } from '../support/cleanup.ts';
import { makeSandbox, runCli } from '../support/cli.ts';
import { must } from '../support/exec.ts';
import { makeFolder } from '../support/folders.ts';
import { waitFor } from '../support/wait.ts';

/** A QEMU that has the file as its disk, and whose processor does not run. */
async function startGuest(file: string): Promise<{ stop: () => Promise<void> }> {
  const drive = `if=virtio,format=qcow2,snapshot=on,file=${file}`;
  const machine = ['-machine', 'q35,accel=tcg', '-m', '32', '-display', 'none', '-S'];
  const args = [...machine, '-drive', drive];
  const child = spawn('qemu-system-x86_64', args, { stdio: 'ignore' });
  const ended = new Promise<void>((resolve) => child.once('close', () => resolve()));
  const stop = async () => {
    child.kill('SIGTERM');
    await ended;
  };
  cleanUpLater(child, stop);
  await waitFor('QEMU to open the image', async () => {
    const maps = await must('sh', ['-c', `ls -l /proc/${child.pid}/fd | grep -c '${file}' || :`]);
    return Number(maps) > 0;
  });
  return { stop };
}

test('`delete`, `prune` and `gc` keep an image that a running guest has as its disk', async () => {
  const sandbox = await makeSandbox();
  const folder = await makeFolder('vp-test');
  const source = join(folder, 'disk.qcow2');
  await must('qemu-img', ['create', '-q', '-f', 'qcow2', source, '8M']);
  const registry = join(folder, 'registry');
  await mkdir(registry);
  const at = ['--registry', registry];
  const cli = (...args: string[]) => runCli([...args, ...at], { sandbox });
  const imported = await cli('import', source, '--name', 'line', '--json');
  expect(imported.exitCode, imported.stderr).toBe(0);
  const [id = ''] = /[0-9a-f]{8}-[0-9a-f-]{27}/.exec(imported.stdout) ?? [];
  await cli('import', source, '--name', 'line');
  const file = join(registry, 'images', id, (await dataOf(registry, id)) ?? '');
  const guest = await startGuest(file);

  const deleted = await cli('delete', id);
  expect(deleted.exitCode, deleted.stderr).toBe(40);
  expect(deleted.stderr).toMatch(/is used by process \d+ \(qemu-system-x86/);
  const pruned = await cli('prune', '--keep-last', '1', '--name', 'line');
  expect(pruned.exitCode, pruned.stderr).toBe(0);
  expect((await cli('show', id)).stdout).toContain('active');

  // An object that no record owns: its image's records are lost.
  const records = join(registry, 'images', id, 'record');
  await rename(records, join(folder, 'records'));
  const collected = await cli('gc', '--delete', '--older-than', '0s');
  expect(collected.stderr).toContain('is used by process');
  expect(existsSync(file)).toBe(true);
  await rename(join(folder, 'records'), records);

  // What `delete` left of a deleted image is removed by a second one, which looks again.
  await markDeleted(registry, id);
  const again = await cli('delete', id);
  expect(again.exitCode, again.stderr).toBe(40);
  expect(again.stderr).toContain('is used by process');
  expect(existsSync(file)).toBe(true);

  await guest.stop();
  const second = await cli('delete', id);
  expect(second.exitCode, second.stderr).toBe(0);
  expect(existsSync(file)).toBe(false);
});

/** Adds the next version of the image's record, with status `deleted`. */
async function markDeleted(registry: string, id: string): Promise<void> {
  const folder = join(registry, 'images', id, 'record');
  const [newest = ''] = (await must('sh', ['-c', `ls -r ${folder}`])).split('\n');
  const record = JSON.parse(await readFile(join(folder, newest), 'utf8'));
  const version = record.version + 1;
  const name = `${String(version).padStart(8, '0')}.json`;
  await writeFile(join(folder, name), JSON.stringify({ ...record, version, status: 'deleted' }));
}

async function dataOf(registry: string, id: string): Promise<string | undefined> {
  const [record = ''] = (
    await must('sh', ['-c', `ls -r ${join(registry, 'images', id, 'record')}/*`])
  ).split('\n');
  return JSON.parse(await readFile(record, 'utf8')).data?.name;
}
