// What only a directory has: files that are moved in, modes, and symbolic links that lead astray.
import { execFileSync } from 'node:child_process';
import { randomBytes } from 'node:crypto';
import { existsSync } from 'node:fs';
import {
  link,
  lstat,
  mkdir,
  mkdtemp,
  readdir,
  rm,
  stat,
  symlink,
  writeFile,
} from 'node:fs/promises';
import { join } from 'node:path';
import { afterAll, beforeEach, expect, test } from 'vitest';
import { openRegistry } from '#built/registry/registry.js';
import { DirectoryStore } from '#built/store/directory/directory-store.js';
import { fileSource } from '#built/transfer/upload/file-source.js';
import { scratchFolder } from './places.ts';

let folder: string;
let root: string;
let file: string;
beforeEach(async () => {
  folder = await scratchFolder();
  root = join(folder, 'registry');
  file = join(folder, 'image');
  await writeFile(file, randomBytes(3_000_000), { mode: 0o666 });
});

const shm: string[] = [];
afterAll(() => Promise.all(shm.map((path) => rm(path, { recursive: true }))));

async function queued() {
  const registry = await openRegistry(root);
  const { id } = await registry.queueImage({ name: 'moved', disk_format: 'raw' });
  return { registry, id, path: join(root, 'images', id, 'vda.raw') };
}

test('`uploadData` moves a file into the registry: the same inode, its digest, and no other name', async () => {
  const { registry, id, path } = await queued();
  const { ino } = await stat(file);
  const expected = execFileSync('sha256sum', [file], { encoding: 'utf8' }).split(' ')[0];
  const sent = await registry.uploadData(id, 'vda.raw', await fileSource(file), { moveFrom: file });
  expect(sent).toMatchObject({ moved: true, size: 3_000_000, digests: { sha256: expected } });
  expect(await lstat(path)).toMatchObject({ ino, nlink: 1 });
  expect((await lstat(path)).mode & 0o777).toBe(0o640);
  expect(existsSync(file)).toBe(false);
});

test('`uploadData` copies a file of another file system, and keeps it', async () => {
  const other = await mkdtemp('/dev/shm/vp-contract-');
  shm.push(other);
  const there = join(other, 'image');
  await writeFile(there, 'bytes');
  expect((await stat(other)).dev).not.toBe((await stat(folder)).dev);
  const { registry, id, path } = await queued();
  const sent = await registry.uploadData(id, 'vda.raw', await fileSource(there), {
    moveFrom: there,
  });
  expect(sent).toMatchObject({ moved: false, size: 5 });
  execFileSync('cmp', [there, path]);
});

test('`uploadData` copies a file if the registry is a bind mount of the same file system', async () => {
  await mkdir(root);
  execFileSync('mount', ['--bind', root, root]);
  try {
    const { registry, id, path } = await queued();
    const before = await stat(file);
    expect((await stat(root)).dev).toBe(before.dev);
    const source = await fileSource(file);
    const sent = await registry.uploadData(id, 'vda.raw', source, { moveFrom: file });
    expect(sent).toMatchObject({ moved: false, size: 3_000_000 });
    execFileSync('cmp', [file, path]);
    const { mode, mtimeMs } = await stat(file);
    expect({ mode, mtimeMs }).toEqual({ mode: before.mode, mtimeMs: before.mtimeMs });
  } finally {
    execFileSync('umount', [root]);
  }
});

test('`uploadData` copies a file with a second name, since a published file must not change', async () => {
  await link(file, join(folder, 'second-name'));
  const { registry, id, path } = await queued();
  const sent = await registry.uploadData(id, 'vda.raw', await fileSource(file), { moveFrom: file });
  expect(sent.moved).toBe(false);
  execFileSync('cmp', [file, path]);
});

test('moving a file to an existing key fails, and keeps the file', async () => {
  const store = new DirectoryStore(root);
  await store.makePlace();
  await store.create('a/b', Buffer.from('first'));
  const { mode } = await stat(file);
  await expect(store.moveIn('a/b', file)).rejects.toMatchObject({ code: 'PRECONDITION_LOST' });
  expect((await stat(file)).mode).toBe(mode);
  expect(Buffer.from((await store.read('a/b')) ?? []).toString()).toBe('first');
});

test('files of a registry are readable by owner and group alone', async () => {
  const { registry, id, path } = await queued();
  await registry.uploadData(id, 'vda.raw', await fileSource(file));
  const entries = await readdir(root, { recursive: true, withFileTypes: true });
  expect(entries.length).toBeGreaterThan(3);
  for (const entry of entries) {
    const { mode } = await lstat(join(entry.parentPath, entry.name));
    expect([entry.name, mode & 0o027]).toEqual([entry.name, 0]);
  }
  expect((await lstat(path)).mode & 0o777).toBe(0o640);
});

test('a directory registry neither reads nor writes through a symbolic link', async () => {
  const store = new DirectoryStore(root);
  const outside = join(folder, 'outside');
  await mkdir(outside);
  await mkdir(root);
  await writeFile(join(outside, 'secret'), 'secret');
  await symlink(outside, join(root, 'images'));
  await symlink(join(outside, 'secret'), join(root, 'link'));
  expect(await store.read('link')).toBeUndefined();
  expect(await store.stat('link')).toBeUndefined();
  await expect(store.read('images/secret')).rejects.toMatchObject({ code: 'REGISTRY' });
  await expect(store.create('images/new', Buffer.from('x'))).rejects.toMatchObject({
    code: 'REGISTRY',
  });
  await expect(store.create('images/deep/below/new', Buffer.from('x'))).rejects.toMatchObject({
    code: 'REGISTRY',
  });
  await expect(store.remove(['images/secret'])).rejects.toMatchObject({ code: 'REGISTRY' });
  expect(await readdir(outside)).toEqual(['secret']);
});

test('a registry path that is a file is an error', async () => {
  await expect((await openRegistry(file)).checkAccess()).rejects.toMatchObject({
    code: 'REGISTRY',
  });
});

test('the files of a killed writer are listed only as an upload', async () => {
  const store = new DirectoryStore(root);
  await store.makePlace();
  const upload = await store.startUpload('images/x/vda.raw');
  await writeFile(join(root, '.uploads', 'dead.new'), 'half');
  await writeFile(join(root, '.uploads', 'broken.json'), '{"key": ');
  const keys: string[] = [];
  for await (const { key } of store.list('')) keys.push(key);
  expect(keys).toEqual([]);
  const uploads: string[] = [];
  for await (const { uploadId } of store.listUploads('images/')) uploads.push(uploadId);
  expect(uploads).toEqual([upload.uploadId]);
});
