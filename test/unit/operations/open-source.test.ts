// `import` opens only regular files, and follows no link of another user.
import { execFileSync, spawnSync } from 'node:child_process';
import { lchownSync, mkdirSync, mkdtempSync, rmSync, symlinkSync, writeFileSync } from 'node:fs';
import { createServer, type Server } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, expect, it } from 'vitest';
import { openSource } from '#built/operations/import/open-source.js';

const NOBODY = 65534;

let folder = '';
let server: Server;

beforeAll(async () => {
  folder = mkdtempSync(join(tmpdir(), 'source-'));
  mkdirSync(join(folder, 'images'));
  writeFileSync(join(folder, 'images', 'disk.qcow2'), 'bytes');
  execFileSync('mkfifo', [join(folder, 'fifo')]);
  server = createServer().listen(join(folder, 'socket'));
});

afterAll(() => {
  server.close();
  rmSync(folder, { recursive: true });
});

function link(target: string, name: string, uid = 0): string {
  const path = join(folder, name);
  symlinkSync(target, path);
  lchownSync(path, uid, uid);
  return path;
}

async function open(path: string): Promise<{ text: string; names: string[] }> {
  const { file, names } = await openSource(path);
  try {
    return { text: await file.readFile('utf8'), names };
  } finally {
    await file.close();
  }
}

it('follows links of the caller, to files and folders, relative and absolute, and returns both names', async () => {
  const disk = join(folder, 'images', 'disk.qcow2');
  expect(await open(disk)).toEqual({ text: 'bytes', names: ['disk.qcow2'] });
  const names = ['latest.vmdk', 'disk.qcow2'];
  expect(await open(link('images/disk.qcow2', 'latest.vmdk'))).toEqual({ text: 'bytes', names });
  link(join(folder, 'images'), 'elsewhere');
  link('elsewhere', 'twice');
  expect((await open(`${folder}//twice/./../images/disk.qcow2`)).text).toBe('bytes');
});

it('reports the pipe of a process substitution as a pipe', () => {
  const script = `import(process.argv[1]).then((module) => module.openSource('/proc/self/fd/3')).catch((error) => process.stdout.write(error.code + ' ' + error.message + '; ' + error.hint))`;
  const module = new URL('../../../build/operations/import/open-source.js', import.meta.url).href;
  const { stdout } = spawnSync(process.execPath, ['-e', script, module], {
    encoding: 'utf8',
    stdio: ['ignore', 'pipe', 'pipe', 'pipe'],
  });
  expect(stdout).toMatch(
    /^USAGE \/proc\/self\/fd\/3 is a (pipe|socket), not a regular file; .*import -$/,
  );
});

it('refuses a link of another user anywhere in the path', async () => {
  const refused = { code: 'IMAGE_REFUSED', message: expect.stringContaining('uid 65534') };
  const file = link('images/disk.qcow2', 'foreign.qcow2', NOBODY);
  await expect(openSource(file)).rejects.toMatchObject(refused);
  link('images', 'foreign', NOBODY);
  await expect(openSource(join(folder, 'foreign/disk.qcow2'))).rejects.toMatchObject(refused);
  const behind = link('foreign.qcow2', 'own.qcow2');
  await expect(openSource(behind)).rejects.toMatchObject(refused);
});

it('refuses a file that is not regular, by its kind, without opening it', async () => {
  for (const [path, kind] of [
    [folder, 'a directory'],
    [join(folder, 'fifo'), 'a FIFO'],
    [join(folder, 'socket'), 'a socket'],
    ['/dev/zero', 'a character device'],
    [link('/dev/zero', 'zero.raw'), 'a character device'],
    [link('fifo', 'fifo.raw'), 'a FIFO'],
  ] as const)
    await expect(openSource(path)).rejects.toMatchObject({
      code: 'USAGE',
      message: expect.stringContaining(`is ${kind}`),
    });
});

it('reports a missing file, and a loop of links, with the given path', async () => {
  link('loop', 'loop');
  for (const name of ['none.raw', 'loop', 'images/disk.qcow2/x'])
    await expect(openSource(join(folder, name))).rejects.toMatchObject({
      code: 'USAGE',
      message: expect.stringMatching(new RegExp(`^${join(folder, name)} cannot be read: E[A-Z]+`)),
    });
});
