// Full file systems: a command ends with exit 31, restores the guest, and leaves no files.
import { readdir, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { CLI, makeSandbox, runCli, type Sandbox } from '../support/cli.ts';
import { createDomain } from '../support/domains.ts';
import { must, run } from '../support/exec.ts';
import { expectWhole, photograph } from '../support/guest-photo.ts';
import { fill, makeSmallDisk, type SmallDisk } from '../support/small-disk.ts';

const NO_RESERVE = {
  VIRT_PUBLISH_RESERVE_MIN_BYTES: '0',
  VIRT_PUBLISH_RESERVE_FRACTION: '0',
};

test('a live run ends with exit 31 if the state directory is full at any point of its journal', async () => {
  const sandbox = await makeSandbox();
  const domain = await createDomain({ shape: 'qcow2', autostart: true });
  const before = await photograph(domain);
  const disk = await makeSmallDisk(8);
  const env = {
    ...NO_RESERVE,
    VIRT_PUBLISH_STATE_DIR: join(disk.path, 'state'),
    VIRT_PUBLISH_REGISTRY: join(sandbox.dir, 'registry'),
    VIRT_PUBLISH_WORK_DIR: join(sandbox.dir, 'work'),
  };
  const codes: (number | null)[] = [];
  // Folders, lock, journal, saved XML: each of them is the first without space in one of these.
  for (const freeKib of [0, 1, 2, 4, 8, 64]) {
    await must('rm', ['-rf', join(disk.path, 'full'), join(disk.path, 'state')]);
    await fill(disk, freeKib);
    const ran = await runCli(['snapshot', domain.name, '--json'], { sandbox, env });
    codes.push(ran.exitCode);
    const last = ran.events.at(-1);
    if (ran.exitCode !== 0)
      expect(last, ran.stdout).toMatchObject({ code: 'NO_SPACE', exitCode: 31 });
    await expectWhole(domain, before);
    expect(await readdir(join(sandbox.dir, 'work')).catch(() => [])).toEqual([]);
  }
  expect(codes[0]).toBe(31);
  expect(codes.at(-1)).toBe(0);
  await domain.destroy();
  await disk.remove();
});

describe('commands without a guest', () => {
  let sandbox: Sandbox;
  let disk: SmallDisk;
  let id = '';
  const cli = (args: readonly string[], env: Record<string, string> = {}) =>
    runCli([...args, '--json'], { sandbox, env: { ...NO_RESERVE, ...env } });
  const imageFile = () => join(sandbox.dir, 'image.raw');

  beforeAll(async () => {
    sandbox = await makeSandbox();
    await writeFile(imageFile(), Buffer.alloc(4 * 1024 * 1024, 7));
    const imported = await runCli(['import', imageFile(), '--name', 'x'], { sandbox });
    id = imported.stdout.trim();
    disk = await makeSmallDisk(8);
    await must('mkdir', ['-m', '711', join(disk.path, 'work')]);
    await must('gzip', ['-k', imageFile()]);
    await fill(disk);
  });
  afterAll(() => disk.remove());

  test.each([
    ['import unpacks', () => ['import', `${imageFile()}.gz`, '--name', 'y']],
    ['import converts', () => ['import', imageFile(), '--name', 'y', '--convert', 'qcow2']],
    [
      'import stores',
      () => ['import', imageFile(), '--name', 'y', '-r', join(disk.path, 'registry')],
    ],
    ['pull writes', () => ['pull', id, join(disk.path, 'pulled.raw')]],
    ['pull converts', () => ['pull', id, join(disk.path, 'pulled.qcow2'), '--format', 'qcow2']],
    ['pull makes a directory', () => ['pull', id, `${join(disk.path, 'pulled')}/`]],
    ['copy stores', () => ['copy', id, '--to', join(disk.path, 'registry')]],
  ])('%s to a full file system: exit 31', async (_, args) => {
    const ran = await cli(args(), { VIRT_PUBLISH_WORK_DIR: join(disk.path, 'work') });
    expect(ran.events.at(-1), ran.stdout).toMatchObject({ code: 'NO_SPACE', exitCode: 31 });
    expect(await readdir(join(disk.path, 'work'))).toEqual([]);
  });

  test('`list` ignores a cache that cannot be written', async () => {
    const env = {
      VIRT_PUBLISH_STATE_DIR: join(disk.path, 'state'),
      VIRT_PUBLISH_REGISTRY: join(sandbox.stateDir, 'registry'),
    };
    const ran = await cli(['list'], env);
    expect(ran.exitCode, ran.stdout).toBe(0);
    expect(ran.events.at(-1)).toMatchObject({ images: [{ id }] });
  });

  test('a command ends with exit 31 if standard output is on a full file system', async () => {
    const command = `'${process.execPath}' '${CLI}' list > '${disk.path}/list' && exit 0`;
    const { exitCode, stderr } = await run('sh', ['-c', command], {
      env: { ...process.env, ...sandbox.env },
    });
    expect(exitCode, stderr).toBe(31);
    expect(stderr).toContain('standard output cannot be written to');
  });
});
