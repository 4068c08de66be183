// A directory registry of a team: two users of one group, each with the closest umask, and one who may only read.
import { execFile } from 'node:child_process';
import { randomBytes } from 'node:crypto';
import { chmod, chown, lstat, mkdir, readdir, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { beforeEach, expect, test } from 'vitest';
import { CLI, type CliResult } from '../support/cli.ts';
import { makeFolder } from '../support/folders.ts';

const GROUP = 61_234;
const [ANNA, BERT, GUEST] = [61_001, 61_002, 61_003];

let folder: string;
let root: string;
beforeEach(async () => {
  folder = await makeFolder('vp-test-team');
  await chmod(folder, 0o755);
  root = join(folder, 'registry');
  for (const user of [ANNA, BERT, GUEST]) {
    await mkdir(join(folder, `${user}`), { mode: 0o700 });
    await writeFile(join(folder, `${user}`, 'image.raw'), randomBytes(3_000_000));
    for (const path of [`${user}`, `${user}/image.raw`])
      await chown(join(folder, path), user, user);
  }
});

type Ran = Pick<CliResult, 'exitCode' | 'stdout' | 'stderr'>;

/** The command as a user of the group (`groups` empty: of none), with a umask that closes all. */
function as(user: number, groups: string, args: readonly string[], env = {}): Promise<Ran> {
  const home = join(folder, `${user}`);
  const who = [
    `--reuid=${user}`,
    `--regid=${user}`,
    groups === '' ? '--clear-groups' : `--groups=${groups}`,
  ];
  const script = ['umask 077; exec "$0" "$@"', process.execPath, CLI, ...args];
  const options = {
    cwd: home,
    env: { PATH: process.env.PATH, HOME: home, VIRT_PUBLISH_REGISTRY: root, ...env },
  };
  return new Promise((resolve) => {
    execFile('setpriv', [...who, 'sh', '-c', ...script], options, (error, stdout, stderr) => {
      resolve({ exitCode: error === null ? 0 : Number(error.code), stdout, stderr });
    });
  });
}

const member = (user: number, ...args: string[]) => as(user, `${GROUP}`, args);

async function succeed(running: Promise<Ran>): Promise<string> {
  const { exitCode, stdout, stderr } = await running;
  expect(exitCode, stderr).toBe(0);
  return stdout.trim();
}

async function expectShared(): Promise<void> {
  for (const entry of await readdir(root, { recursive: true, withFileTypes: true })) {
    const { mode, gid } = await lstat(join(entry.parentPath, entry.name));
    const right = entry.isDirectory() ? 0o2770 : 0o640;
    expect([entry.name, gid, mode & 0o7777]).toEqual([entry.name, GROUP, right]);
  }
}

test("users of one group list, verify, pull, change and delete each other's images, whatever their umask", async () => {
  await mkdir(root);
  await chown(root, 0, GROUP);
  await chmod(root, 0o2770);
  const anna = await succeed(member(ANNA, 'import', 'image.raw', '--name', 'a', '--alias', 'web'));
  const bert = await succeed(member(BERT, 'import', 'image.raw', '--name', 'b'));
  const qcow2 = ['import', 'image.raw', '--name', 'c', '--convert', 'qcow2'];
  await succeed(member(BERT, ...qcow2));
  await expectShared();
  expect(await succeed(member(BERT, 'list'))).toContain(anna);
  await succeed(member(BERT, 'verify', '--all'));
  await succeed(member(BERT, 'pull', 'web', 'pulled.raw'));
  await succeed(member(ANNA, 'update', bert, '--name', 'ours'));
  await succeed(member(BERT, 'alias', 'set', 'web', bert));
  await succeed(member(BERT, 'delete', anna));
  await succeed(member(ANNA, 'gc', '--delete', '--older-than', '0s'));
  await expectShared();
});

test('the error for a user without the right to write or to read names that right', async () => {
  await mkdir(root);
  await chown(root, ANNA, GROUP);
  await chmod(root, 0o2770);
  const id = await succeed(member(ANNA, 'import', 'image.raw', '--name', 'a'));
  await chmod(root, 0o2750);
  await succeed(member(BERT, 'list'));
  const written = await member(BERT, 'import', 'image.raw', '--name', 'b');
  expect([written.exitCode, written.stderr]).toEqual([
    44,
    expect.stringContaining('hint: give this user the permission to write there'),
  ]);
  for (const args of [
    ['list'],
    ['show', id],
    ['pull', id, '-'],
    ['import', 'image.raw', '--name', 'b'],
  ]) {
    const read = await as(GUEST, '', args);
    expect([args, read.exitCode, read.stderr]).toEqual([
      args,
      44,
      expect.stringContaining('hint: give this user the permission to read there'),
    ]);
  }
});

test('`registryMode` is the mode of a new registry, which its group then shares', async () => {
  const team = join(folder, 'team');
  await mkdir(team);
  await chown(team, 0, GROUP);
  await chmod(team, 0o2775);
  root = join(team, 'registry');
  const env = { VIRT_PUBLISH_REGISTRY_MODE: '2770' };
  await succeed(as(ANNA, `${GROUP}`, ['import', 'image.raw', '--name', 'a'], env));
  expect((await lstat(root)).mode & 0o7777).toBe(0o2770);
  await succeed(member(BERT, 'import', 'image.raw', '--name', 'b'));
  await expectShared();
  const wrong = await as(ANNA, `${GROUP}`, ['list'], { VIRT_PUBLISH_REGISTRY_MODE: 'rwx' });
  expect(wrong.exitCode).toBe(2);
});
