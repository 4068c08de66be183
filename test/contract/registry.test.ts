// An image's whole life in a registry, on a directory and on a bucket of a real server.
import { execFileSync } from 'node:child_process';
import { randomBytes } from 'node:crypto';
import { existsSync, readFileSync } from 'node:fs';
import { readdir, stat, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { beforeAll, describe, expect, test } from 'vitest';
import type { ImageRecord } from '#built/registry/record/image.js';
import { openRegistry, type Registry } from '#built/registry/registry.js';
import { fileSource } from '#built/transfer/upload/file-source.js';
import { flipBit, PLACES, type Place, scratchFolder } from './places.ts';

const MIB = 1024 ** 2;

async function all<T>(items: AsyncIterable<T>): Promise<T[]> {
  const list: T[] = [];
  for await (const item of items) list.push(item);
  return list;
}

function sum(tool: string, file: string): string {
  return execFileSync(tool, [file], { encoding: 'utf8' }).split(' ')[0] ?? '';
}

describe.each(PLACES)('$name', ({ make }) => {
  let place: Place;
  let registry: Registry;
  let folder: string;
  beforeAll(async () => {
    place = await make();
    registry = await openRegistry(place.url, place.options);
    folder = await scratchFolder();
    await registry.checkAccess();
  });

  async function randomFile(name: string, size: number): Promise<string> {
    const file = join(folder, name);
    await writeFile(file, randomBytes(size));
    return file;
  }

  /** An active image of some random bytes, by the whole way. */
  async function publish(name: string, size = 4096): Promise<ImageRecord> {
    const { id } = await registry.queueImage({ name, disk_format: 'raw' });
    await registry.markSaving(id);
    const source = await fileSource(await randomFile(`${name}.img`, size));
    const { digests } = await registry.uploadData(id, 'vda.raw', source);
    return registry.activateImage(id, { data: { name: 'vda.raw', size, sha256: digests.sha256 } });
  }

  test('an image is queued, activated, found by alias, pulled and deleted', async () => {
    const size = 100 * MIB + 4711;
    const file = await randomFile('big.img', size);
    const queued = await registry.queueImage({
      name: 'life',
      disk_format: 'raw',
      tags: ['a'],
      properties: { os_distro: 'debian' },
    });
    expect(queued).toMatchObject({ version: 1, status: 'queued', size: null, data: null });
    expect(await registry.markSaving(queued.id)).toMatchObject({ version: 2, status: 'saving' });

    const progress: number[] = [];
    const sent = await registry.uploadData(queued.id, 'vda.raw', await fileSource(file), {
      hash: ['md5', 'sha512'],
      onProgress: (bytes) => progress.push(bytes),
    });
    expect(sent).toMatchObject({
      name: 'vda.raw',
      size,
      moved: false,
      digests: {
        sha256: sum('sha256sum', file),
        md5: sum('md5sum', file),
        sha512: sum('sha512sum', file),
      },
    });
    expect(progress.at(-1)).toBe(size);
    expect(progress).toEqual([...progress].sort((a, b) => a - b));
    expect(await place.openUploads()).toEqual([]);

    const copy = join(folder, 'big.copy');
    await place.copyOut(`images/${queued.id}/vda.raw`, copy);
    execFileSync('cmp', [file, copy]);

    const xml = await registry.putArtefact(queued.id, 'domain.xml', '<domain/>');
    expect(xml).toMatchObject({ name: 'domain.xml', size: 9 });
    await expect(registry.pullImage(queued.id, join(folder, 'early'))).rejects.toMatchObject({
      code: 'IMAGE_STATUS',
      message: expect.stringContaining('saving'),
    });
    const active = await registry.activateImage(queued.id, {
      data: { name: 'vda.raw', size, sha256: sent.digests.sha256 },
      artefacts: [xml],
      checksum: sent.digests.md5 ?? null,
      os_hash_algo: 'sha256',
      os_hash_value: sent.digests.sha256,
    });
    expect(active).toMatchObject({ version: 3, status: 'active', size, tags: ['a'] });

    expect(await registry.setAlias('life/latest', queued.id)).toMatchObject({
      alias: 'life/latest',
      version: 1,
    });
    for (const ref of [queued.id, 'life/latest', 'life', queued.id.slice(0, 13)]) {
      expect(await registry.getImage(ref)).toEqual(active);
    }
    expect(await all(registry.listImages())).toEqual([active]);
    expect(await all(registry.listAliases())).toMatchObject([
      { alias: 'life/latest', version: 1, image_id: queued.id },
    ]);

    const pulled = join(folder, 'pulled.img');
    expect(await registry.pullImage('life/latest', pulled)).toEqual(active);
    execFileSync('cmp', [file, pulled]);
    expect(existsSync(`${pulled}.partial`)).toBe(false);
    await expect(registry.pullImage('life', pulled)).rejects.toMatchObject({ code: 'USAGE' });
    await registry.pullImage('life', pulled, { overwrite: true });

    await expect(registry.deleteImage('life')).rejects.toMatchObject({
      code: 'IMAGE_STATUS',
      message: expect.stringContaining('life/latest'),
    });
    expect(await registry.deleteImage('life', { force: true })).toMatchObject({
      id: queued.id,
      // Version 4 has taken it from its readers.
      version: 5,
      status: 'deleted',
    });
    expect((await place.keys()).filter((key) => key.startsWith('images/'))).toEqual([
      `images/${queued.id}/record/00000005.json`,
    ]);
    for (const ref of [queued.id, 'life', 'life/latest']) {
      await expect(registry.getImage(ref)).rejects.toMatchObject({ code: 'IMAGE_NOT_FOUND' });
    }
    expect(await all(registry.listImages())).toEqual([]);
    expect(await registry.deleteImage(queued.id)).toMatchObject({ status: 'deleted' });
  });

  test('an empty image is published and pulled', async () => {
    const { id } = await publish('empty', 0);
    const file = join(folder, 'empty.pulled');
    await registry.pullImage(id, file);
    expect((await stat(file)).size).toBe(0);
  });

  test('a killed image is hidden, keeps its first reason, and can only be deleted', async () => {
    const { id } = await registry.queueImage({ name: 'killed', disk_format: 'raw' });
    await registry.markSaving(id);
    await registry.killImage(id, 'no space');
    expect(await registry.killImage(id, 'another')).toMatchObject({
      status: 'killed',
      status_reason: 'no space',
    });
    expect((await all(registry.listImages())).map((image) => image.id)).not.toContain(id);
    expect((await all(registry.listImages({ all: true }))).map((image) => image.id)).toContain(id);
    await expect(registry.getImage('killed')).rejects.toMatchObject({ code: 'IMAGE_NOT_FOUND' });
    expect(await registry.getImage(id)).toMatchObject({ status: 'killed' });
    await expect(registry.markSaving(id)).rejects.toMatchObject({
      code: 'IMAGE_STATUS',
      message: expect.stringContaining('is killed and cannot become saving'),
    });
    await registry.deleteImage(id);
  });

  test('an image whose data is missing or has another size does not become active', async () => {
    const { id } = await registry.queueImage({ name: 'bare', disk_format: 'raw' });
    await registry.markSaving(id);
    const data = { name: 'vda.raw', size: 11, sha256: 'a'.repeat(64) };
    await expect(registry.activateImage(id, { data })).rejects.toMatchObject({ code: 'INTEGRITY' });
    await registry.uploadData(id, 'vda.raw', await fileSource(await randomFile('bare.img', 10)));
    await expect(registry.activateImage(id, { data })).rejects.toMatchObject({
      code: 'INTEGRITY',
      message: expect.stringContaining('10 bytes'),
    });
    expect(await registry.getImage(id)).toMatchObject({ status: 'saving', version: 2 });
  });

  test('`markSaving` by several clients at once adds one version', async () => {
    const { id } = await registry.queueImage({ name: 'saved', disk_format: 'raw' });
    const marked = await Promise.all([1, 2, 3, 4].map(() => registry.markSaving(id)));
    marked.push(await registry.markSaving(id));
    expect(marked.map(({ version }) => version)).toEqual([2, 2, 2, 2, 2]);
  });

  test('concurrent updates are all kept, each as a version', async () => {
    const { id, version } = await publish('updates');
    await Promise.all(
      Array.from({ length: 20 }, (_, n) =>
        registry.updateImage(id, (record) => ({ ...record, tags: [...record.tags, `t${n}`] })),
      ),
    );
    const record = await registry.getImage(id);
    expect(record.version).toBe(version + 20);
    expect([...record.tags].sort()).toEqual(Array.from({ length: 20 }, (_, n) => `t${n}`).sort());
  });

  test('of many clients that expect the same version exactly one wins', async () => {
    const { id, version } = await publish('expect');
    const results = await Promise.allSettled(
      Array.from({ length: 20 }, (_, n) =>
        registry.updateImage(id, (record) => ({ ...record, name: `w${n}` }), {
          expectVersion: version,
        }),
      ),
    );
    expect(results.filter((result) => result.status === 'fulfilled')).toHaveLength(1);
    for (const result of results) {
      if (result.status === 'rejected') expect(result.reason.code).toBe('PRECONDITION_LOST');
    }
    expect((await registry.getImage(id)).version).toBe(version + 1);
  });

  test('a change can neither replace the id of a record nor write an invalid one', async () => {
    const { id, created_at } = await publish('fixed');
    const changed = await registry.updateImage(id, (record) => ({
      ...record,
      id: 'x',
      version: 99,
      created_at: 'never',
    }));
    expect(changed).toMatchObject({ id, version: 4, created_at });
    await expect(
      registry.updateImage(id, (record) => ({ ...record, tags: ['a', 'a'] })),
    ).rejects.toMatchObject({ code: 'USAGE' });
    await expect(
      registry.updateImage(id, (record) => ({ ...record, status: 'queued' })),
    ).rejects.toMatchObject({ code: 'IMAGE_STATUS' });
    expect(await registry.getImage(id)).toEqual(changed);
  });

  test('an alias moves version by version, and a race for it has one winner', async () => {
    const [one, two] = [await publish('alias-one'), await publish('alias-two')];
    await registry.setAlias('moving', one.id);
    expect(await registry.setAlias('moving', one.id)).toMatchObject({
      alias: 'moving',
      version: 1,
    });
    const results = await Promise.allSettled(
      Array.from({ length: 30 }, () => registry.setAlias('moving', two.id, { expectVersion: 1 })),
    );
    expect(results.filter((result) => result.status === 'fulfilled')).toHaveLength(1);
    for (const result of results) {
      if (result.status === 'rejected') expect(result.reason.code).toBe('PRECONDITION_LOST');
    }
    expect(await registry.resolveAlias('moving')).toMatchObject({ version: 2, image_id: two.id });
    expect(await registry.resolveAlias('never/set')).toBeUndefined();
    const queued = await registry.queueImage({ name: 'not-yet', disk_format: 'raw' });
    await expect(registry.setAlias('moving', queued.id)).rejects.toMatchObject({
      code: 'IMAGE_STATUS',
    });
    await registry.deleteImage(queued.id);
  });

  test('several images of one name must be named by id', async () => {
    const twins = [await publish('twin'), await publish('twin')];
    for (const { id } of twins) {
      await expect(registry.getImage('twin')).rejects.toMatchObject({
        code: 'USAGE',
        hint: expect.stringContaining(id),
      });
    }
  });

  test('a protected image is not deleted, not even by force', async () => {
    const { id } = await publish('safe');
    await registry.updateImage(id, (record) => ({ ...record, protected: true }));
    await expect(registry.deleteImage(id, { force: true })).rejects.toMatchObject({
      code: 'IMAGE_STATUS',
      message: expect.stringContaining('protected'),
    });
    await registry.pullImage(id, join(folder, 'safe.pulled'));
  });

  test('`pull` finds a bit that was flipped in the store, and leaves no file', async () => {
    const { id } = await publish('flipped', 3 * MIB);
    await flipBit(place, `images/${id}/vda.raw`, 2 * MIB);
    const file = join(folder, 'flipped.pulled');
    await expect(registry.pullImage(id, file)).rejects.toMatchObject({
      code: 'INTEGRITY',
      message: expect.stringContaining('sha256'),
    });
    expect((await readdir(folder)).filter((name) => name.startsWith('flipped.pulled'))).toEqual([]);
  });

  test('a record that cannot be read is an error that names its key', async () => {
    const { id } = await publish('broken');
    const { store } = place;
    const key = `images/${id}/record/00000004.json`;
    await store.create(key, Buffer.from('{"id": "x", "properties": {"__proto__": 1}}'));
    await expect(registry.getImage(id)).rejects.toMatchObject({
      code: 'REGISTRY',
      message: expect.stringContaining(key),
    });
    await store.remove([key]);
    await store.create(key, Buffer.from([0xff, 0xfe, 0x00]));
    await expect(registry.getImage(id)).rejects.toMatchObject({ code: 'REGISTRY' });
    await store.remove([key]);
  });

  test('a signal in the middle of an upload leaves no open upload and no object', async () => {
    const { id } = await registry.queueImage({ name: 'stopped', disk_format: 'raw' });
    const source = await fileSource(await randomFile('stopped.img', 120 * MIB));
    const controller = new AbortController();
    const sending = registry.uploadData(id, 'vda.raw', source, {
      signal: controller.signal,
      onProgress: (bytes) => {
        if (bytes > 40 * MIB) controller.abort();
      },
    });
    await expect(sending).rejects.toMatchObject({ code: 'INTERRUPTED' });
    expect(await place.openUploads()).toEqual([]);
    expect((await place.keys()).filter((key) => key.includes(id))).toEqual([
      `images/${id}/record/00000001.json`,
    ]);
    await registry.killImage(id, 'interrupted');
  });

  test('a source that breaks in the middle leaves no open upload', async () => {
    const { id } = await registry.queueImage({ name: 'short', disk_format: 'raw' });
    const file = await randomFile('short.img', 40 * MIB);
    const whole = await fileSource(file);
    await writeFile(file, readFileSync(file).subarray(0, 30 * MIB));
    await expect(registry.uploadData(id, 'vda.raw', whole)).rejects.toMatchObject({
      code: 'UPLOAD',
    });
    expect(await place.openUploads()).toEqual([]);
    await registry.deleteImage(id);
  });

  test('`listImages` yields a hundred images in the order of their ids', async () => {
    const before = (await all(registry.listImages())).length;
    const made = await Promise.all(
      Array.from({ length: 100 }, (_, n) =>
        registry.queueImage({ name: `many-${n}`, disk_format: 'qcow2' }),
      ),
    );
    const listed = await all(registry.listImages());
    expect(listed).toHaveLength(before + 100);
    const ids = listed.map(({ id }) => id);
    expect(ids).toEqual([...ids].sort());
    expect(ids).toEqual(expect.arrayContaining(made.map(({ id }) => id)));
  });
});
