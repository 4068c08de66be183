// What no record owns is found and removed, on a directory and a real S3 server; what may be live never is.
import { randomUUID } from 'node:crypto';
import { utimes, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { Readable } from 'node:stream';
import { beforeEach, describe, expect, test } from 'vitest';
import type { Garbage } from '#built/registry/lifecycle/image-garbage.js';
import { removeGarbage } from '#built/registry/lifecycle/remove-garbage.js';
import { openRegistry, type Registry } from '#built/registry/registry.js';
import { PLACES, type Place } from './places.ts';
import { all, publish } from './publish.ts';

/** Everything counts as old: the cutoff lies a minute ahead. */
const ALL = { olderThanMs: -60_000 };
const HOUR_MS = 3600_000;

const brief = (found: readonly Garbage[]) =>
  found.map(({ kind, key }) => `${kind} ${key.split('/').slice(2).join('/')}`).sort();

/** A run that died in its upload. */
async function deadRun(registry: Registry, { store }: Place): Promise<string> {
  const { id } = await registry.queueImage({ name: 'dead', disk_format: 'raw' });
  await registry.markSaving(id);
  await registry.putArtefact(id, 'domain.xml', '<domain/>');
  const upload = await store.startUpload(`images/${id}/vda.raw`);
  const body = Buffer.from('bytes');
  const open = () => Readable.from([body]);
  await upload.putPart(1, { start: 0, length: body.byteLength, open });
  return id;
}

describe.each(PLACES)('$name', ({ make }) => {
  let place: Place;
  let registry: Registry;
  beforeEach(async () => {
    place = await make();
    registry = await openRegistry(place.url, place.options);
    await registry.checkAccess();
  });

  test('`gc` finds a crashed run, its upload and its objects, and nothing after they are removed', async () => {
    const kept = await publish(registry, { name: 'kept' }, { artefact: '<x/>' });
    const dead = await deadRun(registry, place);
    const unrecorded = randomUUID();
    await place.store.create(`images/${unrecorded}/vda.raw`, Buffer.from('of no record'));
    await place.store.create(`images/${kept.id}/forgotten`, Buffer.from('of no record'));
    await place.store.create('.probe/old/first', Buffer.from('a probe that died'));
    const before = await place.keys();

    expect(await all(registry.collectGarbage({ olderThanMs: HOUR_MS }))).toEqual([]);
    const found = await all(registry.collectGarbage(ALL));
    expect(brief(found)).toEqual([
      'image ',
      'object domain.xml',
      'object forgotten',
      'object vda.raw',
      'record record/00000001.json',
      'record record/00000001.json',
      'record record/00000002.json',
      'stray first',
      'upload vda.raw',
    ]);
    expect(await place.keys()).toEqual(before);
    expect(await registry.getImage(dead)).toMatchObject({ status: 'saving' });

    expect(await all(registry.collectGarbage({ ...ALL, remove: true }))).toHaveLength(found.length);
    expect(await place.openUploads()).toEqual([]);
    expect(await registry.getImage(dead)).toMatchObject({
      status: 'killed',
      status_reason: expect.stringContaining('a run that crashed'),
    });
    expect((await registry.verifyImage(kept.id)).problems).toEqual([]);
    expect(await place.keys()).toEqual(
      [
        `images/${kept.id}/domain.xml`,
        `images/${kept.id}/record/00000003.json`,
        `images/${kept.id}/vda.raw`,
        // What was the newest when it was looked at stays for this time.
        `images/${dead}/record/00000002.json`,
        `images/${dead}/record/00000003.json`,
      ].sort(),
    );
    const rest = await all(registry.collectGarbage({ ...ALL, remove: true }));
    expect(brief(rest)).toEqual(['record record/00000002.json']);
    expect(await all(registry.collectGarbage(ALL))).toEqual([]);
  });

  test('`gc` removes nothing of concurrent publishes; with no minimum age it makes them fail, never damages them', async () => {
    let isOver = false;
    const collect = async (olderThanMs: number) => {
      while (!isOver) await all(registry.collectGarbage({ olderThanMs, remove: true }));
    };
    const names = ['a', 'b', 'c', 'd', 'e', 'f'];
    const publishAll = () =>
      Promise.allSettled(names.map((name) => publish(registry, { name }, { artefact: '<x/>' })));
    const gentle = collect(HOUR_MS);
    const published = await publishAll().finally(() => (isOver = true));
    await gentle;
    expect(published.map(({ status }) => status)).toEqual(names.map(() => 'fulfilled'));
    isOver = false;
    const greedy = collect(-60_000);
    await publishAll().finally(() => (isOver = true));
    await greedy;
    for (const image of await all(registry.listImages()))
      if (image.status === 'active')
        expect((await registry.verifyImage(image.id)).problems, image.name).toEqual([]);
  });

  test('`gc` does not remove an object that changed since it was found', async () => {
    const id = await deadRun(registry, place);
    const found = await all(registry.collectGarbage(ALL));
    expect(brief(found)).toContain('image ');
    // The run comes back between the look and the removal.
    await registry.updateImage(id, (record) => ({ ...record, properties: { back: 'yes' } }));
    const before = await place.keys();
    for (const garbage of found) expect(await removeGarbage(place.store, garbage, {})).toBe(false);
    expect(await place.keys()).toEqual(before);
    expect(await registry.getImage(id)).toMatchObject({ status: 'saving' });
  });
});

describe('directory', () => {
  let place: Place;
  let registry: Registry;
  beforeEach(async () => {
    place = await (PLACES[0]?.make() ?? Promise.reject(new Error('no directory')));
    registry = await openRegistry(place.url, place.options);
    await registry.checkAccess();
  });

  test('one recent part keeps all objects of an unfinished image', async () => {
    const id = await deadRun(registry, place);
    const long = new Date(Date.now() - 48 * HOUR_MS);
    const age = async (paths: readonly string[]) => {
      for (const path of paths) await utimes(join(place.url, path), long, long);
    };
    await age((await place.keys()).filter((key) => key.startsWith('images/')));
    const day = { olderThanMs: 24 * HOUR_MS };
    expect(await all(registry.collectGarbage(day))).toEqual([]);
    await age((await place.openUploads()).map((file) => `.uploads/${file}`));
    expect(brief(await all(registry.collectGarbage(day)))).toEqual([
      ...['image ', 'object domain.xml', 'record record/00000001.json', 'upload vda.raw'],
    ]);
    expect(await registry.getImage(id)).toMatchObject({ status: 'saving' });
  });

  test('`gc` removes old files of a crash, and keeps recent ones', async () => {
    await registry.queueImage({ name: 'makes the folders', disk_format: 'raw' });
    const uploads = join(place.url, '.uploads');
    const old = new Date(Date.now() - 48 * HOUR_MS);
    for (const file of [`${randomUUID()}.new`, `${randomUUID()}.data`, 'foreign.txt']) {
      await writeFile(join(uploads, file), 'left');
      await utimes(join(uploads, file), old, old);
    }
    const young = `${randomUUID()}.new`;
    await writeFile(join(uploads, young), 'just being written');
    const found = await all(registry.collectGarbage({ olderThanMs: HOUR_MS, remove: true }));
    expect(found.map(({ kind }) => kind)).toEqual(['stray', 'stray']);
    expect((await place.openUploads()).sort()).toEqual(['foreign.txt', young].sort());
  });
});
