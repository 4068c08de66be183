// The lock of a domain: one holder, which is named and lives; the same for every program.
import { execFile } from 'node:child_process';
import { randomUUID } from 'node:crypto';
import {
  chmod,
  chown,
  mkdir,
  mkdtemp,
  readFile,
  rm,
  stat,
  symlink,
  writeFile,
} from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { promisify } from 'node:util';
import { afterEach, expect, test } from 'vitest';
import { lockFolder } from '#built/host/files/lock-folder.js';
import { askLock, isRunAlive, lockDomain } from '#built/run/lock/lock.js';
import { endHolder, holdLock } from '../../support/lock-holder.ts';

const domain = { name: 'web01', uuid: randomUUID() };
const file = join(lockFolder(), `domain-${domain.uuid}.lock`);
const busy = { code: 'DOMAIN_BUSY' };
const module = new URL('../../../build/run/lock/lock.js', import.meta.url).href;

afterEach(() => rm(file, { force: true, recursive: true }));

test('a second run gets an error that names the holder, and the lock after the release', async () => {
  const first = await lockDomain(domain, 'run-1');
  await expect(lockDomain(domain, 'run-2')).rejects.toMatchObject({
    code: 'DOMAIN_BUSY',
    message: expect.stringMatching(new RegExp(`run-1 \\(process ${process.pid}`)),
  });
  await first.release();
  await (await lockDomain(domain, 'run-2')).release();
  await expect(stat(file)).rejects.toMatchObject({ code: 'ENOENT' });
});

test('the lock of a domain leaves other domains free', async () => {
  const first = await lockDomain(domain, 'run-1');
  const other = await lockDomain({ name: 'web02', uuid: randomUUID() }, 'run-2');
  await Promise.all([first.release(), other.release()]);
});

test('a killed holder releases the lock, also while its child lives', async () => {
  const script = `const { lockDomain } = await import(${JSON.stringify(module)});
    await lockDomain(${JSON.stringify(domain)}, 'run-3');
    const { spawn } = await import('node:child_process');
    const child = spawn('sleep', ['60'], { detached: true, stdio: 'ignore' });
    console.log(child.pid); setTimeout(() => process.kill(process.pid, 'SIGKILL'), 50);`;
  const dead = promisify(execFile)(process.execPath, ['--input-type=module', '-e', script]);
  const { stdout } = await dead.catch((error: { stdout: string; signal: string }) => error);
  process.kill(Number(stdout), 0);
  expect(await askLock(domain.uuid)).toBe('free');
  expect(await readFile(file, 'utf8')).toContain('run-3');
  const lock = await lockDomain(domain, 'run-4');
  expect(await askLock(domain.uuid)).toMatchObject({ runId: 'run-4' });
  await lock.release();
  process.kill(Number(stdout), 'SIGKILL');
});

test('a program other than Node, in another network namespace, holds the same lock', async () => {
  const holder = { runId: 'run-5', role: 'run', pid: 1, since: '2026-01-01T00:00:00Z' };
  const child = await holdLock(file, JSON.stringify(holder), 'unshare', '--net');
  await expect(lockDomain(domain, 'next')).rejects.toMatchObject({
    ...busy,
    message: expect.stringContaining('run-5 (process 1'),
  });
  expect(await isRunAlive('run-5')).toBe(true);
  expect(await isRunAlive('run-6')).toBe(false);
  await endHolder(child);
  expect(await isRunAlive('run-5')).toBe(false);

  const lock = await lockDomain(domain, 'run-7');
  await expect(holdLock(file, '')).rejects.toThrow('not held');
  await lock.release();
});

test('a lock file with garbage, endless or no content makes the domain busy at once', async () => {
  const child = await holdLock(file, '');
  const odd = { runId: '\u001b[2J', role: 'run', pid: 1, since: 'now' };
  const endless = `{"runId":"${'x'.repeat(1_000_000)}"}`;
  for (const content of ['', '{', 'null', '[]', JSON.stringify(odd), endless]) {
    await writeFile(file, content);
    const refused = lockDomain(domain, 'next', { waitMs: 60_000 });
    await expect(refused).rejects.toMatchObject({
      ...busy,
      message: expect.stringContaining('its lock file does not name'),
    });
  }
  await endHolder(child);
  // What a dead one has left is no holder.
  await (await lockDomain(domain, 'next')).release();
});

test('a lock file that is a link, a pipe or a folder is an error at once', async () => {
  await symlink('/dev/zero', file);
  const error = { code: 'WORK_DIR', message: expect.stringContaining(file) };
  await expect(lockDomain(domain, 'next')).rejects.toMatchObject(error);
  await rm(file);
  await mkdir(file);
  await expect(lockDomain(domain, 'next')).rejects.toMatchObject(error);
  await rm(file, { recursive: true });
  await promisify(execFile)('mkfifo', [file]);
  await expect(lockDomain(domain, 'next')).rejects.toMatchObject(error);
});

test('lock files are in a folder with mode 0700, in the first suitable directory', async () => {
  const folder = await mkdtemp(join(tmpdir(), 'vp-unit-'));
  const usual = join(folder, 'above/locks');
  expect(lockFolder(['/run/no-such-folder/virt-publish', usual])).toBe(usual);
  expect((await stat(usual)).mode & 0o777).toBe(0o700);
  await chmod(usual, 0o755);
  lockFolder([usual]);
  expect((await stat(usual)).mode & 0o777).toBe(0o700);
  await chown(usual, 65_533, 65_533);
  expect(() => lockFolder([usual, folder])).toThrow(/does not belong to this user/);
  await rm(folder, { recursive: true });
  expect((await stat(lockFolder())).mode & 0o777).toBe(0o700);
});
