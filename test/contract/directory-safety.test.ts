// A directory registry that other users may write to: nothing outside it is touched, and what they planted is refused.
import { execFileSync } from 'node:child_process';
import { randomBytes } from 'node:crypto';
import {
  mkdirSync,
  readdirSync,
  readFileSync,
  renameSync,
  symlinkSync,
  unlinkSync,
  writeFileSync,
} from 'node:fs';
import {
  chmod,
  chown,
  link,
  lstat,
  mkdir,
  readdir,
  readFile,
  stat,
  symlink,
  writeFile,
} from 'node:fs/promises';
import { dirname, join } from 'node:path';
import { Readable } from 'node:stream';
import { beforeEach, describe, expect, test } from 'vitest';
import { openRegistry } from '#built/registry/registry.js';
import { DirectoryStore } from '#built/store/directory/directory-store.js';
import { fileSource } from '#built/transfer/upload/file-source.js';
import { scratchFolder } from './places.ts';

const OTHER_USER = 12_345;
const GROUP = 54_321;
const SECRET = "root's own";

let root: string;
let outside: string;
let victim: string;
let store: DirectoryStore;
beforeEach(async () => {
  const folder = await scratchFolder();
  root = join(folder, 'registry');
  outside = join(folder, 'outside');
  victim = join(outside, 'victim');
  await mkdir(outside);
  await writeFile(victim, SECRET, { mode: 0o600 });
  store = new DirectoryStore(root);
  await store.makePlace();
});

const uploads = () => join(root, '.uploads');
/** The file of the upload under way whose name ends so. */
const ofUpload = (end: string) =>
  join(uploads(), readdirSync(uploads()).find((name) => name.endsWith(end)) ?? 'missing');
function putLink(path: string): void {
  symlinkSync(victim, join(root, 'link'));
  renameSync(join(root, 'link'), path);
}

const body = randomBytes(100_000);
const part = { start: 0, length: body.length, open: () => Readable.from([body]) };
const intact = async () => {
  expect(await readFile(victim, 'utf8')).toBe(SECRET);
  expect(await readdir(outside)).toEqual(['victim']);
};

describe('an upload', () => {
  test.each(['.data', '.parts', '.json'])(
    'whose %s file is swapped for a link writes nothing through it',
    async (end) => {
      const upload = await store.startUpload('images/x/vda.raw');
      putLink(ofUpload(end));
      const sent = await upload.putPart(1, part);
      const completed = upload.complete([sent]);
      if (end === '.data') {
        await expect(completed).rejects.toMatchObject({
          code: 'REGISTRY',
          message: expect.stringContaining('another user replaced the file'),
        });
        expect(await store.stat('images/x/vda.raw')).toBeUndefined();
      } else {
        await completed;
        expect(Buffer.compare((await store.read('images/x/vda.raw')) ?? body, body)).toBe(0);
      }
      await upload.abort();
      await intact();
      expect(await readdir(uploads())).toEqual([]);
    },
  );

  test('whose data file is swapped for another file between its parts publishes no other bytes', async () => {
    const upload = await store.startUpload('images/x/vda.raw');
    const sent = await upload.putPart(1, part);
    unlinkSync(ofUpload('.data'));
    writeFileSync(join(uploads(), `${upload.uploadId}.data`), randomBytes(100_000));
    await expect(upload.complete([sent])).rejects.toMatchObject({ code: 'REGISTRY' });
    expect(await store.stat('images/x/vda.raw')).toBeUndefined();
  });

  test('whose image folder is swapped for a link while it is written creates no file outside of the registry', async () => {
    const upload = await store.startUpload('images/x/vda.raw');
    mkdirSync(join(root, 'images'));
    symlinkSync(outside, join(root, 'images', 'x'));
    const sent = await upload.putPart(1, part);
    await expect(upload.complete([sent])).rejects.toMatchObject({
      code: 'REGISTRY',
      message: expect.stringContaining('is a symbolic link'),
    });
    await intact();
  });

  test.each<[string, (path: string) => unknown]>([
    ['a symbolic link', (path) => symlink(victim, path)],
    ['a hard link', (path) => link(victim, path)],
    ['a FIFO', (path) => execFileSync('mkfifo', [path])],
    ['a directory', (path) => mkdir(path)],
    ['a file of another user', (path) => writeFile(path, '').then(() => chown(path, 1, 1))],
    [
      'a file that others may write to',
      (path) => writeFile(path, '').then(() => chmod(path, 0o666)),
    ],
  ])('that was planted with %s as its data, or its parts, is not resumed', async (_what, plant) => {
    for (const end of ['.data', '.parts']) {
      const { uploadId } = await store.startUpload('images/x/vda.raw');
      unlinkSync(join(uploads(), uploadId + end));
      await plant(join(uploads(), uploadId + end));
      const resumed = store.resumeUpload('images/x/vda.raw', uploadId);
      const refused = { code: 'REGISTRY', message: expect.stringContaining('planted it') };
      await expect(resumed.listParts()).rejects.toMatchObject(refused);
      await expect(resumed.putPart(1, part)).rejects.toMatchObject(refused);
    }
    await intact();
  });

  test('folder that is a link is neither written to, nor listed, nor emptied', async () => {
    const name = '01234567-89ab-cdef-0123-456789abcdef.data';
    await writeFile(join(outside, name), 'data');
    await symlink(outside, uploads());
    await expect(store.create('a/b', body)).rejects.toMatchObject({ code: 'REGISTRY' });
    await expect(store.startUpload('a/b')).rejects.toMatchObject({ code: 'REGISTRY' });
    await expect(store.removeStray(`.uploads/${name}`)).rejects.toMatchObject({ code: 'REGISTRY' });
    await expect(
      store.resumeUpload('a/b', '01234567-89ab-cdef-0123-456789abcdef').abort(),
    ).rejects.toMatchObject({ code: 'REGISTRY' });
    expect((await readdir(outside)).sort()).toEqual([name, 'victim']);
    expect(await readFile(victim, 'utf8')).toBe(SECRET);
  });
});

describe('a file', () => {
  test.each<[string, (path: string) => unknown]>([
    ['a FIFO', (path) => execFileSync('mkfifo', [path])],
    ['a symbolic link', (path) => symlink(victim, path)],
    ['a character device', (path) => execFileSync('mknod', [path, 'c', '1', '3'])],
    ['a directory', (path) => mkdir(path)],
  ])(
    'in whose place is %s is not read, and refused at once when it is written',
    async (kind, plant) => {
      await store.create('aliases/web/00000001.json', Buffer.from('{}'));
      await plant(join(root, 'aliases/web/00000002.json'));
      const key = 'aliases/web/00000002.json';
      expect(await store.read(key).catch((error: { code: string }) => error.code)).toBeUndefined();
      expect(await store.openRead(key)).toBeUndefined();
      expect(await store.stat(key)).toBeUndefined();
      await expect(store.create(key, body)).rejects.toMatchObject({
        code: 'REGISTRY',
        message: expect.stringContaining(`is ${kind} in the place of a file of the registry`),
      });
      await store.remove([key]);
      await intact();
    },
  );

  test('is moved in only by the descriptor that was checked', async () => {
    const image = join(outside, 'image');
    await symlink(victim, image);
    await expect(store.moveIn('a/b', image)).rejects.toMatchObject({ code: 'REGISTRY' });
    expect(await readFile(victim, 'utf8')).toBe(SECRET);
    expect((await lstat(victim)).mode & 0o777).toBe(0o600);
  });
});

describe('a registry that a group shares', () => {
  const asMember = (user: number, script: string): string =>
    execFileSync(
      'setpriv',
      [`--reuid=${user}`, `--regid=${GROUP}`, '--clear-groups', 'sh', '-c', script],
      { encoding: 'utf8' },
    );
  beforeEach(async () => {
    await chmod(dirname(root), 0o711);
    await chown(root, 0, GROUP);
    await chmod(root, 0o2775);
  });

  test('accepts images of each member, below folders that other members made', async () => {
    await store.create('images/a/record/00000001.json', Buffer.from('{}'));
    for (const folder of ['.uploads', 'images', 'images/a', 'images/a/record']) {
      const { mode, gid } = await stat(join(root, folder));
      expect([folder, gid, mode & 0o7777]).toEqual([folder, GROUP, 0o2770]);
    }
    asMember(1234, `umask 027; mkdir ${root}/images/b && echo {} > ${root}/images/a/record/x.json`);
    await store.create('images/b/record/00000001.json', Buffer.from('{}'));
    await store.create('images/a/record/00000002.json', Buffer.from('{}'));
    await store.remove(['images/b/record/00000001.json']);
  });

  test('refuses a folder that a user outside the group planted', async () => {
    await chmod(root, 0o2777);
    await mkdir(join(root, 'images'), { mode: 0o777 });
    await chown(join(root, 'images'), OTHER_USER, OTHER_USER);
    await expect(store.create('images/a/x', body)).rejects.toMatchObject({
      code: 'REGISTRY',
      message: expect.stringContaining(`images belongs to user ${OTHER_USER}`),
    });
    expect(await readdir(join(root, 'images'))).toEqual([]);
  });
});

test('root publishes to a registry of another user without changing its rights', async () => {
  await mkdir(uploads(), { mode: 0o777 });
  for (const path of [root, uploads()]) await chown(path, OTHER_USER, OTHER_USER);
  const registry = await openRegistry(root);
  const { id } = await registry.queueImage({ name: 'x', disk_format: 'raw' });
  const from = join(outside, 'image');
  await writeFile(from, body);
  const { digests, size } = await registry.uploadData(id, 'vda.raw', await fileSource(from));
  await registry.markSaving(id);
  await registry.activateImage(id, { data: { name: 'vda.raw', size, sha256: digests.sha256 } });
  expect(Buffer.compare(readFileSync(join(root, 'images', id, 'vda.raw')), body)).toBe(0);
});
