// The log file: what `--log-file` may name, who can read it, and what a full file system means.
import { spawn } from 'node:child_process';
import {
  chmod,
  chown,
  link,
  mkdir,
  readFile,
  rm,
  stat,
  symlink,
  writeFile,
} from 'node:fs/promises';
import { join } from 'node:path';
import { beforeAll, expect, test } from 'vitest';
import { openLogFile } from '#built/cli/report/log-file.js';
import { makeSandbox, runCli, type Sandbox } from '../support/cli.ts';
import { must } from '../support/exec.ts';
import { fill, makeSmallDisk } from '../support/small-disk.ts';

let sandbox: Sandbox;
beforeAll(async () => {
  sandbox = await makeSandbox();
});

const listWithLog = (path: string, ...flags: string[]) =>
  runCli(['list', '--log-file', path, ...flags], { sandbox, timeoutMs: 20_000 });
const modeOf = async (path: string) => ((await stat(path)).mode & 0o7777).toString(8);
const inSandbox = (name: string) => join(sandbox.dir, name);

test('a new log file and one that others could read both become readable by their owner alone', async () => {
  const [fresh, open] = [inSandbox('fresh.log'), inSandbox('open.log')];
  await writeFile(open, 'earlier\n');
  await chmod(open, 0o666);
  for (const path of [fresh, open]) {
    expect((await listWithLog(path)).exitCode).toBe(0);
    expect(await modeOf(path)).toBe('600');
  }
  expect(await readFile(open, 'utf8')).toMatch(/^earlier\n/);
});

const REFUSED: readonly (readonly [string, RegExp, (path: string) => Promise<unknown>])[] = [
  ['a link to a file of this user', /is a symbolic link/, (path) => linkTo(path, 'target.log')],
  ['a link that leads nowhere', /is a symbolic link/, (path) => symlink('/nowhere/x.log', path)],
  ['a FIFO without a reader', /is not a regular file/, (path) => must('mkfifo', [path])],
  ['a directory', /is not a regular file/, (path) => mkdir(path)],
  ['a device', /is not a regular file/, (path) => must('mknod', [path, 'c', '1', '3'])],
  ['a file of another user', /belongs to another user/, (path) => fileOf(path, 65534)],
  ['a file with a second name', /has 2 hard links/, (path) => hardLinked(path)],
  [
    'a file in a folder that is missing',
    /cannot be opened: ENOENT/,
    (path) => rm(path, { force: true }),
  ],
];

for (const [what, expected, make] of REFUSED)
  test(`${what} is refused with exit 2, and is not touched`, async () => {
    const path = what.includes('missing') ? inSandbox('no/such.log') : inSandbox(`${what}.log`);
    await make(path);
    const { exitCode, stderr } = await listWithLog(path);
    expect({ exitCode, stderr }).toMatchObject({
      exitCode: 2,
      stderr: expect.stringMatching(expected),
    });
    expect(stderr).toContain('name another file with --log-file');
    expect(await readFile(inSandbox('target.log'), 'utf8').catch(() => 'kept\n')).toBe('kept\n');
  });

test('a FIFO with a reader is refused as well, and gets no byte', async () => {
  const path = inSandbox('read.fifo');
  await must('mkfifo', [path]);
  const reader = spawn('cat', [path]);
  const read: Buffer[] = [];
  reader.stdout.on('data', (piece: Buffer) => read.push(piece));
  const ended = new Promise((done) => reader.once('close', done));
  expect((await listWithLog(path)).exitCode).toBe(2);
  reader.kill();
  await ended;
  expect(Buffer.concat(read).toString()).toBe('');
});

test('on a full file system the command ends with exit 31 before it does anything', async () => {
  const disk = await makeSmallDisk(8);
  const path = join(disk.path, 'run.log');
  await writeFile(path, '');
  await fill(disk);
  const { exitCode, events } = await listWithLog(path, '--json');
  expect({ exitCode, code: events.at(-1)?.code }).toEqual({ exitCode: 31, code: 'NO_SPACE' });
});

test('a log whose file system fills up does not end a run; one warning says that it is incomplete', async () => {
  const disk = await makeSmallDisk(8);
  const path = join(disk.path, 'run.log');
  const warnings: string[] = [];
  const log = await openLogFile(path, false, (message) => warnings.push(message));
  await fill(disk);
  const message = 'x'.repeat(8192);
  for (let n = 0; n < 3; n += 1)
    log.onEvent({ type: 'note', level: 'info', step: 'inspect', message });
  log.onError(new Error(message));
  await log.finish();
  expect(warnings).toEqual([
    `the log file ${path} is incomplete: ENOSPC: no space left on device, write`,
  ]);
});

async function linkTo(path: string, name: string): Promise<void> {
  await writeFile(inSandbox(name), 'kept\n');
  await symlink(inSandbox(name), path);
}

async function fileOf(path: string, uid: number): Promise<void> {
  await writeFile(path, 'kept\n');
  await chown(path, uid, uid);
}

async function hardLinked(path: string): Promise<void> {
  await writeFile(inSandbox('target.log'), 'kept\n');
  await link(inSandbox('target.log'), path);
}
