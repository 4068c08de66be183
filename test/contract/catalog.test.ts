// A registry as a catalog, on a directory and on a real S3 server: query, change, verify, prune, copy.
import { execFileSync } from 'node:child_process';
import { mkdir, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { beforeAll, describe, expect, test } from 'vitest';
import type { RunEvent } from '#built/core/events.js';
import { openRegistry, type Registry, sumLines } from '#built/registry/registry.js';
import { flipBit, PLACES, type Place, scratchFolder } from './places.ts';
import { all, publish } from './publish.ts';

const MIB = 1024 ** 2;

describe.each(PLACES)('$name', ({ name: placeName, make }) => {
  let place: Place;
  let registry: Registry;
  beforeAll(async () => {
    place = await make();
    registry = await openRegistry(place.url, place.options);
    await registry.checkAccess();
  });

  /** A registry of its own, for what looks at all images. */
  async function another(): Promise<{ place: Place; registry: Registry }> {
    const other = await make();
    const opened = await openRegistry(other.url, other.options);
    await opened.checkAccess();
    return { place: other, registry: opened };
  }

  test('a query filters, sorts and pages; hidden and killed images are listed on request only', async () => {
    const { registry } = await another();
    const small = await publish(registry, { name: 'a', tags: ['x'], owner: 'me' }, { size: 10 });
    const large = await publish(registry, { name: 'b', tags: ['x', 'y'] }, { size: 5000 });
    const hidden = await publish(registry, { name: 'c', os_hidden: true });
    const { id: killed } = await registry.queueImage({ name: 'd', disk_format: 'raw' });
    await registry.killImage(killed, 'tried out');
    const ids = async (query: object) =>
      (await registry.queryImages(query)).images.map(({ id }) => id);
    expect(await ids({})).toEqual([large.id, small.id]);
    expect(await ids({ sort: [{ key: 'size', descending: false }] })).toEqual([small.id, large.id]);
    expect(await ids({ tags: ['x', 'y'] })).toEqual([large.id]);
    expect(await ids({ owner: 'me' })).toEqual([small.id]);
    expect(await ids({ sizeMin: 11 })).toEqual([large.id]);
    expect(await ids({ hidden: true })).toEqual([hidden.id]);
    expect(await ids({ status: ['killed'] })).toEqual([killed]);
    const first = await registry.queryImages({ limit: 1 });
    expect(first).toMatchObject({ images: [{ id: large.id }], marker: large.id });
    const second = await registry.queryImages({ limit: 1 }, { marker: large.id });
    expect(second).toMatchObject({ images: [{ id: small.id }], marker: null });
    // The last image of a page may be deleted before the next page is requested.
    await registry.deleteImage(large.id);
    expect((await registry.queryImages({}, { marker: large.id })).images).toHaveLength(1);
  });

  test('a change is a next version; `delete` refuses protected images, `update` stale and contradictory changes', async () => {
    const { id } = await publish(registry, { name: 'change', tags: ['a'] });
    const changed = await registry.changeImage(id, {
      name: 'changed',
      addTags: ['b'],
      removeTags: ['a'],
      setProperties: { os_distro: 'debian' },
      min_disk: 3,
      protected: true,
    });
    expect(changed).toMatchObject({ version: 4, name: 'changed', tags: ['b'], min_disk: 3 });
    await expect(registry.deleteImage(id)).rejects.toMatchObject({ code: 'IMAGE_STATUS' });
    const stale = registry.changeImage(id, { name: 'x' }, { expectVersion: 3 });
    await expect(stale).rejects.toMatchObject({ code: 'PRECONDITION_LOST' });
    const both = registry.changeImage(id, { addTags: ['c'], removeTags: ['c'] });
    await expect(both).rejects.toMatchObject({ code: 'USAGE' });
  });

  test('deactivated images are not pulled, and each refused transition is named', async () => {
    const folder = await scratchFolder();
    const { id } = await publish(registry, { name: 'out of use' });
    expect(await registry.deactivateImage(id)).toMatchObject({ status: 'deactivated', version: 4 });
    expect(await registry.deactivateImage(id)).toMatchObject({ version: 4 });
    const pull = registry.pullImage(id, join(folder, 'out'));
    await expect(pull).rejects.toMatchObject({ code: 'IMAGE_STATUS' });
    expect(await registry.reactivateImage(id)).toMatchObject({ status: 'active', version: 5 });
    expect(await registry.reactivateImage(id)).toMatchObject({ version: 5 });
    const { id: queued } = await registry.queueImage({ name: 'new', disk_format: 'raw' });
    for (const refused of [
      () => registry.deactivateImage(queued),
      () => registry.reactivateImage(queued),
    ])
      await expect(refused()).rejects.toMatchObject({
        code: 'IMAGE_STATUS',
        message: expect.stringContaining('is queued and cannot become'),
      });
    await registry.markSaving(queued);
    // The status machine has saving -> active, but only for an upload that was verified.
    await expect(registry.reactivateImage(queued)).rejects.toMatchObject({ code: 'IMAGE_STATUS' });
    await registry.killImage(queued, 'tried out');
    await expect(registry.deactivateImage(queued)).rejects.toMatchObject({
      message: expect.stringContaining('is killed and cannot become deactivated'),
    });
  });

  test('`verify` finds a flipped bit, `verify --quick` does not, and `pull` refuses it', async () => {
    const folder = await scratchFolder();
    const { id } = await publish(registry, { name: 'flip' }, { size: 3 * MIB, artefact: '<x/>' });
    expect(await registry.verifyImage(id)).toMatchObject({ problems: [], unmarked: null });
    expect(await registry.verifyImage(id, { quick: true })).toMatchObject({ problems: [] });
    await flipBit(place, `images/${id}/vda.raw`, 2 * MIB);
    const { problems, image } = await registry.verifyImage(id);
    expect(problems).toEqual([expect.stringMatching(/^vda\.raw has the sha256 \w+ instead of/)]);
    expect(image).toMatchObject({
      status: 'deactivated',
      status_reason: expect.stringMatching(/^damaged: vda\.raw/),
    });
    await expect(registry.pullImage(id, join(folder, 'out'))).rejects.toMatchObject({
      code: 'IMAGE_STATUS',
    });
    await expect(registry.reactivateImage(id)).rejects.toMatchObject({ code: 'INTEGRITY' });
    await flipBit(place, `images/${id}/vda.raw`, 2 * MIB);
    expect(await registry.reactivateImage(id)).toMatchObject({
      status: 'active',
      status_reason: null,
    });
    await registry.pullImage(id, join(folder, 'out'));
  });

  test('`verify --quick` finds missing objects and other sizes, and reports another ETag as a doubt', async () => {
    const folder = await scratchFolder();
    const incomplete = await publish(registry, { name: 'incomplete' }, { artefact: '<x/>' });
    await place.store.remove([`images/${incomplete.id}/domain.xml`]);
    const quick = { quick: true };
    expect((await registry.verifyImage(incomplete.id, quick)).problems).toEqual([
      'domain.xml is missing',
    ]);
    const cut = await publish(registry, { name: 'cut' });
    await writeFile(join(folder, 'cut'), 'short');
    await place.copyIn(join(folder, 'cut'), `images/${cut.id}/vda.raw`);
    expect((await registry.verifyImage(cut.id, quick)).problems).toEqual([
      'vda.raw has 5 bytes instead of 4096',
    ]);
    const again = await publish(registry, { name: 'again' });
    await flipBit(place, `images/${again.id}/vda.raw`, 1);
    const { problems, doubts, image } = await registry.verifyImage(again.id, quick);
    expect(problems).toEqual([]);
    expect(doubts).toHaveLength(placeName === 'S3' ? 1 : 0);
    expect(image.status).toBe('active');
  });

  test('`verify` reactivates a damaged image that is intact again, and no image deactivated for another reason', async () => {
    const { id } = await publish(registry, { name: 'healed' });
    await flipBit(place, `images/${id}/vda.raw`, 1);
    await registry.verifyImage(id);
    await flipBit(place, `images/${id}/vda.raw`, 1);
    const quick = await registry.verifyImage(id, { quick: true });
    expect(quick.image.status).toBe('deactivated');
    const { image } = await registry.verifyImage(id);
    expect(image).toMatchObject({ status: 'active', status_reason: null });
    await registry.deactivateImage(id);
    expect((await registry.verifyImage(id)).image.status).toBe('deactivated');
  });

  test('an alias has a history, and `alias rollback` restores an earlier image', async () => {
    const one = await publish(registry, { name: 'one' });
    const two = await publish(registry, { name: 'two' });
    await registry.setAlias('back', one.id);
    await registry.setAlias('back', two.id);
    expect(await registry.rollbackAlias('back')).toMatchObject({ version: 3, image_id: one.id });
    await registry.removeAlias('back');
    expect(await registry.resolveAlias('back')).toBeUndefined();
    const log = await registry.aliasLog('back');
    expect(log.map(({ version, image_id }) => [version, image_id])).toEqual([
      ...[
        [1, one.id],
        [2, two.id],
        [3, one.id],
      ],
      [4, null],
    ]);
    expect(await registry.rollbackAlias('back', { toVersion: 2 })).toMatchObject({
      ...{ version: 5, image_id: two.id },
    });
    for (const missing of [
      () => registry.rollbackAlias('back', { toVersion: 4 }),
      () => registry.rollbackAlias('never'),
      () => registry.removeAlias('never'),
      () => registry.aliasLog('never'),
    ])
      await expect(missing()).rejects.toMatchObject({ code: 'IMAGE_NOT_FOUND' });
    await registry.deactivateImage(one.id);
    await expect(registry.rollbackAlias('back')).rejects.toMatchObject({ code: 'IMAGE_STATUS' });
  });

  test('`prune` keeps what the policy, an alias or protection keeps, and deletes the rest', async () => {
    const { registry } = await another();
    const properties = { instance_uuid: 'a-domain' };
    const images = [];
    for (const hour of ['01', '02', '03', '04', '05', '06'])
      images.push(await publish(registry, { name: `web-2026-01-01T${hour}0000Z`, properties }));
    const other = await publish(registry, { name: 'db' });
    const [oldest, second, third] = images;
    await registry.setAlias('web/first', oldest?.id ?? '');
    await registry.changeImage(second?.id ?? '', { protected: true });
    await expect(registry.pruneImages({})).rejects.toMatchObject({ code: 'USAGE' });
    const dry = await registry.pruneImages({ last: 2 }, { dryRun: true });
    expect(dry.filter(({ kept }) => !kept)).toHaveLength(2);
    expect(await all(registry.listImages())).toHaveLength(7);
    await registry.keepLast(other, 1);
    const last = images.at(-1);
    expect(last && (await registry.keepLast(last, 3)).filter(({ kept }) => !kept)).toMatchObject([
      { image: { id: third?.id } },
    ]);
    const pruned = await registry.pruneImages({ last: 2 });
    expect(pruned.map(({ kept, reasons }) => [kept, reasons.join()])).toEqual(
      expect.arrayContaining([
        [true, 'last'],
        [true, 'protected'],
        [true, 'alias web/first'],
        [false, ''],
      ]),
    );
    expect((await all(registry.listImages())).map(({ name }) => name.slice(0, 16)).sort()).toEqual(
      [
        ...['db', 'web-2026-01-01T01', 'web-2026-01-01T02', 'web-2026-01-01T05'],
        'web-2026-01-01T06',
      ].map((name) => name.slice(0, 16)),
    );
  });

  test('`prune` deletes no image in favour of one whose date cannot be true', async () => {
    const { registry, place } = await another();
    const ahead = await publish(registry, { name: 'web' });
    const behind = await publish(registry, { name: 'web' });
    const newest = await publish(registry, { name: 'web' });
    for (const [image, created_at] of [
      [ahead, '2099-01-01T00:00:00.000Z'],
      [behind, '1999-01-01T00:00:00.000Z'],
    ] as const) {
      const text = JSON.stringify({ ...image, created_at, version: 4 });
      await place.store.create(`images/${image.id}/record/00000004.json`, Buffer.from(text));
    }
    const prunedBy = async (policy: object) =>
      (await registry.pruneImages(policy)).filter(({ kept }) => !kept).map(({ image }) => image.id);
    expect(await prunedBy({ last: 2 })).toEqual([]);
    expect(await prunedBy({ last: 1 })).toEqual([behind.id]);
    expect((await all(registry.listImages())).map(({ id }) => id).sort()).toEqual(
      [ahead.id, newest.id].sort(),
    );
    // The truly newest, made by a host whose clock runs behind: also right after it was made.
    const late = await publish(registry, { name: 'web' });
    const text = JSON.stringify({ ...late, created_at: '1999-01-01T00:00:00.000Z', version: 4 });
    await place.store.create(`images/${late.id}/record/00000004.json`, Buffer.from(text));
    const pruned = await registry.keepLast(await registry.getImage(late.id), 1);
    expect(pruned.filter(({ kept }) => !kept)).toEqual([]);
    expect(pruned.find(({ image }) => image.id === ahead.id)).toMatchObject({ wrongDate: true });
  });

  test('`copy` keeps id and bytes, activates only a complete image, and copies it once', async () => {
    const target = await another();
    const image = await publish(
      registry,
      { name: 'copied', tags: ['t'] },
      {
        ...{ size: 20 * MIB + 11, artefact: '<domain/>' },
      },
    );
    const progress: number[] = [];
    const copied = await registry.copyImage('copied', target.registry, {
      onProgress: (bytes) => progress.push(bytes),
    });
    expect(copied.way).toBe(placeName === 'S3' ? 'server' : 'streamed');
    expect(copied.image).toMatchObject({ id: image.id, version: 1, status: 'active', tags: ['t'] });
    expect(progress.at(-1)).toBe(20 * MIB + 11 + 9);
    const folder = await scratchFolder();
    await registry.pullImage(image.id, join(folder, 'here'));
    await target.registry.pullImage(image.id, join(folder, 'there'));
    execFileSync('cmp', [join(folder, 'here'), join(folder, 'there')]);
    expect(await registry.copyImage('copied', target.registry)).toMatchObject({ way: 'there' });
    expect(await target.place.openUploads()).toEqual([]);
    await target.registry.deleteImage(image.id);
    await expect(registry.copyImage('copied', target.registry)).rejects.toMatchObject({
      code: 'IMAGE_STATUS',
    });
  });

  test('`copy` refuses a damaged image', async () => {
    const target = await another();
    const { id } = await publish(registry, { name: 'bad copy' }, { size: MIB });
    await flipBit(place, `images/${id}/vda.raw`, 7);
    await expect(registry.copyImage(id, target.registry)).rejects.toMatchObject({
      code: 'INTEGRITY',
    });
    expect(await all(target.registry.listImages({ all: true }))).toEqual([]);
    expect(await target.place.openUploads()).toEqual([]);
  });

  test('`copy` copies an image from a directory to a bucket and back', async () => {
    const [directory, bucket] = await Promise.all(PLACES.map(({ make }) => make()));
    if (directory === undefined || bucket === undefined) throw new Error('two places are needed');
    const here = await openRegistry(directory.url, directory.options);
    await here.checkAccess();
    const there = await openRegistry(bucket.url, bucket.options);
    const back = await openRegistry(join(await scratchFolder(), 'back'));
    await back.checkAccess();
    const { id, data } = await publish(here, { name: 'travels' }, { size: 40 * MIB + 1 });
    expect(await here.copyImage(id, there)).toMatchObject({ way: 'streamed' });
    expect(await there.copyImage(id, back)).toMatchObject({ way: 'streamed' });
    expect((await back.verifyImage(id)).problems).toEqual([]);
    expect((await back.getImage(id)).data?.sha256).toBe(data?.sha256);
  });

  test('`sums` prints the lines that sha256sum prints for a pulled tree', async () => {
    const image = await publish(registry, { name: 'sums' }, { artefact: '<domain/>' });
    const folder = await scratchFolder();
    await mkdir(join(folder, image.id));
    await registry.pullImage(image.id, join(folder, image.id, 'vda.raw'));
    await place.copyOut(`images/${image.id}/domain.xml`, join(folder, image.id, 'domain.xml'));
    await writeFile(join(folder, 'SHA256SUMS'), `${sumLines(image).join('\n')}\n`);
    const said = execFileSync('sha256sum', ['-c', 'SHA256SUMS'], { cwd: folder, encoding: 'utf8' });
    expect(said.match(/: OK/g)).toHaveLength(2);
  });

  test('the first write to a registry warns of nothing on this store, and leaves no probe', async () => {
    const fresh = await make();
    const events: RunEvent[] = [];
    const onEvent = (event: RunEvent) => events.push(event);
    const opened = await openRegistry(fresh.url, { ...fresh.options, onEvent });
    await opened.checkAccess();
    await opened.queueImage({ name: 'first', disk_format: 'raw' });
    const message = `made a new registry at ${opened.url}`;
    expect(events).toEqual([{ type: 'note', level: 'info', step: 'registry', message }]);
    expect((await fresh.keys()).every((key) => key.startsWith('images/'))).toBe(true);
  });
});
