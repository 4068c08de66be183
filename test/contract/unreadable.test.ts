// Records and aliases that cannot be read: commands report them, do not change them, and remove them only with --force.
import { randomUUID } from 'node:crypto';
import { beforeEach, describe, expect, test } from 'vitest';
import type { RunEvent } from '#built/core/events.js';
import type { ImageRecord } from '#built/registry/record/image.js';
import { MAX_RECORD_BYTES, MAX_VERSION } from '#built/registry/record/records.js';
import { openRegistry, type Registry } from '#built/registry/registry.js';
import { runCli } from '../support/cli.ts';
import { s3Env } from '../support/s3.ts';
import { PLACES, type Place } from './places.ts';
import { all, publish } from './publish.ts';

const NESTED = 20_000;
const MIB = 1024 ** 2;
const ALL = { olderThanMs: -60_000, remove: true };

/** Bodies of a record of this image that must not be taken for one. */
const BAD: [string, (record: ImageRecord) => string][] = [
  ['empty', () => ''],
  ['cut short', (record) => JSON.stringify(record).slice(0, 300)],
  ['no object', () => '[]'],
  ['of a later format', (record) => JSON.stringify({ ...record, status: 'pending_delete' })],
  ['of another image', (record) => JSON.stringify({ ...record, id: randomUUID() })],
  ['of another version', (record) => JSON.stringify({ ...record, version: 3 })],
  ['of other types', (record) => JSON.stringify({ ...record, tags: 5 })],
  [
    'with a key __proto__',
    (record) => JSON.stringify(record).replace('"properties":{', '"properties":{"__proto__":"x",'),
  ],
  [
    'with a huge number',
    (record) => JSON.stringify(record).replace(/"min_disk":\d+/, '"min_disk":1e999'),
  ],
  [
    'nested deep',
    (record) =>
      JSON.stringify(record).replace(
        /"name":"[^"]*"/,
        `"name":${'['.repeat(NESTED)}${']'.repeat(NESTED)}`,
      ),
  ],
  ['larger than a record', (record) => JSON.stringify({ ...record, x: 'x'.repeat(15 * MIB) })],
];

describe.each(PLACES)('$name', ({ name: placeName, make }) => {
  let place: Place;
  let registry: Registry;
  let reported: string[];
  let good: ImageRecord;
  let bad: ImageRecord;
  beforeEach(async () => {
    place = await make();
    reported = [];
    const onEvent = (event: RunEvent) => {
      if (event.type === 'note') reported.push(`${event.level}: ${event.message}`);
    };
    registry = await openRegistry(place.url, { ...place.options, onEvent });
    await registry.checkAccess();
    good = await publish(registry, { name: 'good' });
    bad = await publish(registry, { name: 'bad' });
  });

  const keyOf = ({ id }: ImageRecord, version = 4) =>
    `images/${id}/record/${String(version).padStart(8, '0')}.json`;

  async function plant(key: string, text: string): Promise<void> {
    await place.store.remove([key]);
    await place.store.create(key, Buffer.from(text));
  }

  test('a record that cannot be read is reported, and nothing of its image is used or removed', async () => {
    for (const [what, make] of BAD) {
      reported = [];
      registry = await openRegistry(place.url, {
        ...place.options,
        onEvent: (event) =>
          event.type === 'note' && reported.push(`${event.level}: ${event.message}`),
      });
      await plant(keyOf(bad), make({ ...bad, version: 4 }));
      const before = await place.keys();
      const listed = await all(registry.listImages());
      expect(
        listed.map(({ id }) => id),
        what,
      ).toEqual([good.id]);
      expect((await registry.getImage('good')).id).toBe(good.id);
      await registry.pruneImages({ last: 1 });
      await all(registry.collectGarbage(ALL)).then((found) =>
        expect(
          found.map(({ key }) => key.includes(bad.id)),
          what,
        ).not.toContain(true),
      );
      expect(await registry.findImagesBySize(4096), what).toMatchObject([{ id: good.id }]);
      expect((await place.keys()).filter((key) => key.includes(bad.id))).toEqual(
        before.filter((key) => key.includes(bad.id)),
      );
      // Once, with the key and a hint; an older version that can be read does not count.
      expect(reported, what).toEqual([
        expect.stringMatching(
          `^warning: the record of image ${bad.id} cannot be read: .*${keyOf(bad)}.*delete ${bad.id} --force`,
        ),
      ]);
      for (const refused of [
        () => registry.getImage(bad.id),
        () => registry.getImage(bad.id.slice(0, 8)),
        () => registry.deactivateImage(bad.id),
        () => registry.deleteImage(bad.id),
        () => registry.setAlias('new', bad.id),
      ])
        await expect(refused(), what).rejects.toMatchObject({
          code: 'REGISTRY',
          message: expect.stringContaining(keyOf(bad)),
        });
    }
    await registry.deleteImage(bad.id, { force: true });
    expect((await place.keys()).filter((key) => key.includes(bad.id))).toEqual([keyOf(bad, 5)]);
    await expect(registry.getImage(bad.id)).rejects.toMatchObject({ code: 'IMAGE_NOT_FOUND' });
  });

  test('an object in the record folder that is no version keeps the image too', async () => {
    for (const version of [1, 2, 3]) await place.store.remove([keyOf(bad, version)]);
    for (const name of ['next.json', '00000000.json', '1.json']) {
      const key = `images/${bad.id}/record/${name}`;
      await plant(key, JSON.stringify({ ...bad, version: 0 }));
      const found = await all(registry.collectGarbage({ ...ALL, remove: false }));
      expect(
        found.filter(({ key }) => key.includes(bad.id)),
        name,
      ).toEqual([]);
      expect(reported.at(-1), name).toContain(key);
      await expect(registry.getImage(bad.id), name).rejects.toMatchObject({ code: 'REGISTRY' });
      await place.store.remove([key]);
    }
    await plant(`images/${bad.id}/record/next.json`, '{}');
    await registry.deleteImage(bad.id, { force: true });
    expect((await place.keys()).filter((key) => key.includes(bad.id))).toEqual([keyOf(bad, 1)]);
  });

  test('an alias that cannot be read is reported, protects every image, and is repaired by a move', async () => {
    await registry.setAlias('sound', good.id);
    await registry.setAlias('odd', bad.id);
    for (const text of [
      '',
      '{"alias":"odd"',
      '{"alias":"odd","version":2,"image_id":"../x","created_at":"2026-01-01T00:00:00Z"}',
      'x'.repeat(MAX_RECORD_BYTES + 1),
    ]) {
      await plant('aliases/odd/00000002.json', text);
      expect((await all(registry.listAliases())).map(({ alias }) => alias)).toEqual(['sound']);
      await expect(registry.getImage('odd')).rejects.toMatchObject({ code: 'REGISTRY' });
      await expect(registry.deleteImage(good.id)).rejects.toMatchObject({ code: 'IMAGE_STATUS' });
      await publish(registry, { name: 'good' });
      const pruned = await registry.pruneImages({ last: 1 });
      expect(pruned.every(({ kept }) => kept)).toBe(true);
      await expect(registry.rollbackAlias('odd')).rejects.toMatchObject({ code: 'REGISTRY' });
      expect((await registry.aliasLog('odd')).map(({ version }) => version)).toEqual([1]);
    }
    expect(reported.join()).toMatch(/alias odd cannot be read: .*00000002\.json.*alias set odd/);
    expect(await registry.setAlias('odd', good.id)).toMatchObject({ version: 3 });
    expect((await registry.getImage('odd')).id).toBe(good.id);
    await plant('aliases/odd/00000004.json', 'garbage');
    expect(await registry.removeAlias('odd')).toMatchObject({ version: 5, image_id: null });
    expect(await registry.resolveAlias('odd')).toBeUndefined();
  });

  test('a version out of turn is followed by the next one, with more digits if needed', async () => {
    await registry.setAlias('jump', good.id);
    const jump = 99_999_999;
    await plant(keyOf(bad, jump), JSON.stringify({ ...bad, version: jump }));
    await plant(
      `aliases/jump/${jump}.json`,
      JSON.stringify({ ...(await registry.resolveAlias('jump')), version: jump }),
    );
    expect(await registry.deactivateImage(bad.id)).toMatchObject({ version: jump + 1 });
    expect(await registry.getImage(bad.id)).toMatchObject({ status: 'deactivated' });
    const listed = await all(registry.listImages());
    expect(listed.find(({ id }) => id === bad.id)).toMatchObject({ version: jump + 1 });
    const other = await publish(registry, { name: 'other' });
    expect(await registry.setAlias('jump', other.id)).toMatchObject({ version: jump + 1 });
    expect((await registry.getImage('jump')).id).toBe(other.id);
    expect((await all(registry.listAliases()))[0]).toMatchObject({ image_id: other.id });
    // What was superseded goes, by its number and not in the order of the keys.
    await all(registry.collectGarbage(ALL));
    expect(await registry.getImage(bad.id)).toMatchObject({ version: jump + 1 });
    expect((await registry.deleteImage(bad.id)).version).toBe(jump + 2);
  });

  test('after the last possible version each change fails, and --force removes the image or alias', async () => {
    await registry.setAlias('last', good.id);
    await plant(keyOf(bad, MAX_VERSION), JSON.stringify({ ...bad, version: MAX_VERSION }));
    const alias = { ...(await registry.resolveAlias('last')), version: MAX_VERSION };
    await plant(`aliases/last/${MAX_VERSION}.json`, JSON.stringify(alias));
    for (const refused of [
      () => registry.deactivateImage(bad.id),
      () => registry.deleteImage(bad.id),
      () => registry.changeImage(bad.id, { name: 'x' }),
      () => registry.setAlias('last', bad.id),
      () => registry.removeAlias('last'),
    ])
      await expect(refused()).rejects.toMatchObject({
        code: 'REGISTRY',
        message: expect.stringMatching(/^no version can follow /),
        hint: expect.stringMatching(/ --force$/),
      });
    // Nine digits more are no version: they change nothing.
    await plant(`images/${bad.id}/record/9${MAX_VERSION}.json`, '{}');
    expect(await registry.getImage(bad.id)).toMatchObject({ status: 'active' });
    // The older version, which is the way back, is no garbage.
    await all(registry.collectGarbage(ALL));
    expect(await place.keys()).toContain(keyOf(bad, 3));
    await registry.removeAlias('last', { force: true });
    expect(await registry.setAlias('last', good.id)).toMatchObject({ version: 1 });
    await registry.deleteImage(bad.id, { force: true });
    expect((await place.keys()).filter((key) => key.includes(bad.id))).toEqual([]);
  });

  test('a record that would be too large to be read is not written', async () => {
    const setProperties = Object.fromEntries(
      Array.from({ length: 20 }, (_, n) => [`p${n}`, 'x'.repeat(60_000)]),
    );
    await expect(registry.changeImage(good.id, { setProperties })).rejects.toMatchObject({
      code: 'USAGE',
    });
    expect(await registry.getImage(good.id)).toMatchObject({ version: 3 });
  });

  test('a record or an alias of a later format is refused, and the hint names a later program', async () => {
    const text = async (key: string) =>
      Buffer.from((await place.store.read(key)) ?? []).toString('utf8');
    const later = (stored: string) => JSON.stringify({ ...JSON.parse(stored), format_version: 2 });
    expect(JSON.parse(await text(keyOf(good, 3)))).toMatchObject({ format_version: 1 });
    await plant(keyOf(bad, 3), later(await text(keyOf(bad, 3))));
    await expect(registry.changeImage(bad.id, { name: 'new' })).rejects.toMatchObject({
      code: 'REGISTRY',
      message: expect.stringContaining('it has format 2, and this program reads formats up to 1'),
      hint: expect.stringContaining('use a later version of virt-publish'),
    });
    await registry.setAlias('odd', good.id);
    const move = 'aliases/odd/00000001.json';
    await plant(move, later(await text(move)));
    await expect(registry.getImage('odd')).rejects.toMatchObject({
      message: expect.stringContaining('it has format 2'),
    });
  });

  test('a change keeps the fields that this program does not know, of the record and of its objects', async () => {
    const stored = async (version: number) =>
      JSON.parse(Buffer.from((await place.store.read(keyOf(good, version))) ?? []).toString());
    const { data, ...rest } = await stored(3);
    const more = { parent: randomUUID(), blocks: { size: 4096 }, __proto__: null };
    const later = { ...rest, ...more, data: { ...data, map: 'vda.blocks' } };
    await plant(keyOf(good, 3), JSON.stringify(later));
    const changed = await registry.changeImage(good.id, { name: 'renamed' });
    expect(changed).not.toHaveProperty('parent');
    const { write_id, ...next } = await stored(4);
    expect(write_id).not.toBe(later.write_id);
    expect(next).toMatchObject({ parent: more.parent, blocks: more.blocks, name: 'renamed' });
    expect(next.data).toEqual(later.data);
    await registry.deactivateImage(good.id);
    expect(await stored(5)).toMatchObject({ parent: more.parent, status: 'deactivated' });
    await registry.reactivateImage(good.id);
    const other = await make();
    const target = await openRegistry(other.url, other.options);
    await target.checkAccess();
    await registry.copyImage(good.id, target);
    const copied = await other.store.read(keyOf(good, 1));
    expect(JSON.parse(Buffer.from(copied ?? []).toString())).toMatchObject({
      parent: more.parent,
      data: { map: 'vda.blocks' },
    });
  });

  test('commands that skip an unreadable record exit with 0 and report it', async () => {
    await plant(keyOf(bad), '{"id":"cut sho');
    const env = placeName === 'S3' ? s3Env() : {};
    const run = (...args: string[]) => runCli([...args, '--registry', place.url], { env });
    for (const command of ['list', 'sums', 'prune --keep-last 5', 'gc', 'pull good -'] as const) {
      const { exitCode, stderr } = await run(...command.split(' '), '--quiet');
      expect(exitCode, command).toBe(0);
      expect(stderr, command).toContain(`delete ${bad.id} --force`);
    }
    const { events, exitCode } = await run('list', '--json');
    expect(exitCode).toBe(0);
    expect(events).toContainEqual(
      expect.objectContaining({
        ...{ type: 'note', level: 'warning', message: expect.stringContaining(keyOf(bad)) },
      }),
    );
    const verified = await run('verify', '--all', '--json');
    expect(verified.exitCode).toBe(42);
    expect(verified.events.at(-1)).toMatchObject({
      images: [{ id: good.id, result: 'ok' }],
      unreadable: [expect.stringContaining(bad.id)],
    });
    expect((await run('show', bad.id)).exitCode).toBe(44);
    expect((await run('show', good.id)).exitCode).toBe(0);
    expect((await run('delete', bad.id)).exitCode).toBe(44);
    expect((await run('delete', bad.id, '--force')).exitCode).toBe(0);
    expect((await run('verify', '--all', '--quick')).exitCode).toBe(0);
  });
});
