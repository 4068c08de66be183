// Catalog checkpoints on a real S3 server: they spare requests, and no checkpoint changes what `list` shows.
import { createHash, randomUUID } from 'node:crypto';
import { writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { gunzipSync, gzipSync } from 'node:zlib';
import { PutBucketPolicyCommand } from '@aws-sdk/client-s3';
import { afterAll, beforeAll, beforeEach, describe, expect, test } from 'vitest';
import type { RunEvent } from '#built/core/events.js';
import type { ImageRecord } from '#built/registry/record/image.js';
import { openRegistry, type Registry } from '#built/registry/registry.js';
import { runCli } from '../support/cli.ts';
import { type FaultyProxy, startFaultyProxy } from '../support/faulty-proxy.ts';
import { lab } from '../support/lab.ts';
import { createBucket, rclone, s3Client, s3Env } from '../support/s3.ts';
import { bucketPlace, PLACES, type Place, scratchFolder } from './places.ts';
import { all, publish } from './publish.ts';

/** So many reads one by one are worth a checkpoint. */
const MANY = 210;
const FIRST = 'catalog/00000001.json.gz';
const SECOND = 'catalog/00000002.json.gz';
const ALL = { olderThanMs: -60_000 };

let place: Place;
let proxy: FaultyProxy;
/** Of all images, by id, as they are stored. */
let expected: ImageRecord[];
beforeAll(async () => {
  proxy = await startFaultyProxy(lab().s3.endpoint);
});
afterAll(() => proxy.stop());
beforeEach(async () => {
  place = await bucketPlace();
  proxy.fault = () => undefined;
  expected = await queueMany(await openRegistry(place.url, place.options), MANY);
});

async function queueMany(registry: Registry, count: number): Promise<ImageRecord[]> {
  const records: ImageRecord[] = [];
  const lane = async () => {
    while (records.length < count) {
      const name = `image-${records.length}`;
      records.push(await registry.queueImage({ name, disk_format: 'raw' }));
    }
  };
  await Promise.all(Array.from({ length: 16 }, lane));
  return byId(records);
}

/** Images that `gc` does not change: their only object is a record with status `killed`. */
async function plantKilled({ store }: Place, like: ImageRecord, count: number): Promise<void> {
  const plant = async () => {
    const record = { ...like, id: randomUUID(), status: 'killed', status_reason: 'planted' };
    const key = `images/${record.id}/record/00000001.json`;
    await store.create(key, Buffer.from(JSON.stringify(record)));
  };
  await Promise.all(Array.from({ length: count }, plant));
}

const byId = (records: readonly ImageRecord[]) =>
  [...records].sort((a, b) => (a.id < b.id ? -1 : 1));

/** A client without memory of its own; what it requested is counted. */
async function listFresh(url = place.url) {
  const events: RunEvent[] = [];
  // A busy server is waited for, and that is reported.
  const onEvent = (event: RunEvent) => {
    if (!('level' in event && event.level === 'info')) events.push(event);
  };
  const s3 = { ...place.options.s3, endpoint: proxy.endpoint };
  const registry = await openRegistry(url, { s3, onEvent });
  proxy.seen.length = 0;
  const records = await all(registry.listImages({ all: true }));
  const count = (fits: RegExp) => proxy.seen.filter((line) => fits.test(line)).length;
  const [reads, writes] = [count(/^GET .*\/record\//), count(/^PUT .*\/catalog\//)];
  return { records, reads, writes, events };
}

const checkpoints = async () => (await place.keys()).filter((key) => key.startsWith('catalog/'));

async function linesOf(key: string): Promise<{ id: string; version: number; record: string }[]> {
  const text = gunzipSync((await place.store.read(key)) ?? '').toString();
  const [header, ...lines] = text.trimEnd().split('\n');
  expect(JSON.parse(header ?? '')).toEqual({ format_version: 1 });
  return lines.map((line) => JSON.parse(line));
}

test('`list` writes a checkpoint after many reads, and a fresh client then reads only newer records', async () => {
  const first = await listFresh();
  expect(first.records).toEqual(expected);
  expect(first).toMatchObject({ writes: 1, events: [] });
  expect(first.reads).toBeGreaterThanOrEqual(expected.length);
  expect(await checkpoints()).toEqual([FIRST]);
  const lines = await linesOf(FIRST);
  expect(lines.map(({ id }) => id)).toEqual(expected.map(({ id }) => id));
  expect(await listFresh()).toMatchObject({ records: expected, reads: 0, writes: 0 });

  const registry = await openRegistry(place.url, place.options);
  const [changed, deleted, ...rest] = expected as [ImageRecord, ImageRecord, ...ImageRecord[]];
  const killed = await registry.killImage(changed.id, 'a change');
  const tombstone = await registry.deleteImage(deleted.id);
  const added = await registry.queueImage({ name: 'new', disk_format: 'raw' });
  const then = await listFresh();
  expect(then.records).toEqual(byId([killed, tombstone, added, ...rest]));
  expect(then).toMatchObject({ reads: 3, writes: 0 });
});

describe('`list` ignores a checkpoint that is', () => {
  beforeEach(async () => {
    await listFresh();
    expect(await checkpoints()).toEqual([FIRST]);
  });

  const HEADER = '{"format_version":1}';
  const file = (lines: readonly unknown[], header = HEADER) =>
    gzipSync(`${[header, ...lines.map((line) => JSON.stringify(line))].join('\n')}\n`);
  type Line = { id: string; version: number; record: string };
  /** The same number of bytes, and another name. */
  const lie = (line: Line) => ({ ...line, record: line.record.replace(/image-/, 'imagE-') });

  const plants: [string, (lines: Line[], packed: Uint8Array) => Uint8Array][] = [
    ['empty', () => Buffer.alloc(0)],
    ['no gzip', () => Buffer.from('garbage')],
    ['incomplete', (_, packed) => packed.subarray(0, packed.length / 2)],
    ['damaged in the middle', (_, packed) => damage(packed)],
    ['of a later format', (lines) => file(lines, '{"format_version":2}')],
    ['a lie about each record', (lines) => file(lines.map(lie))],
    ['a lie about versions', (lines) => file(lines.map((line) => ({ ...line, version: 2 })))],
    [
      'a lie about ids',
      (lines) => file(lines.map((line, n) => ({ ...line, id: lines[n ? 0 : 1]?.id }))),
    ],
    ['out of order', (lines) => file([...lines].reverse())],
    ['a list of something else', () => file([1, null, [], {}, 'x'])],
    ['one line of 20 MiB', () => gzipSync(`${HEADER}\n${'x'.repeat(20 * 1024 ** 2)}`)],
    ['a line of a million levels', () => gzipSync(`${HEADER}\n${'['.repeat(1_000_000)}\n`)],
  ];

  test.each(plants)('%s', async (_what, plant) => {
    const packed = (await place.store.read(FIRST)) ?? Buffer.alloc(0);
    await place.store.create(SECOND, plant(await linesOf(FIRST), packed));
    const { records, events } = await listFresh();
    expect(records).toEqual(expected);
    expect(events).toEqual([]);
  });

  test('older than a change of a record', async () => {
    const registry = await openRegistry(place.url, place.options);
    const [one, ...rest] = expected as [ImageRecord, ...ImageRecord[]];
    const killed = await registry.killImage(one.id, 'since then');
    // The older version is removed too, as `gc` does.
    await place.store.remove([`images/${one.id}/record/00000001.json`]);
    expect((await listFresh()).records).toEqual(byId([killed, ...rest]));
  });

  test('damaged, and writes the next one', async () => {
    await place.store.create(SECOND, Buffer.from('garbage'));
    expect(await listFresh()).toMatchObject({ records: expected, writes: 1 });
    expect(await listFresh()).toMatchObject({ records: expected, reads: 0 });
    expect(await checkpoints()).toHaveLength(3);
  });

  test('cut off on its way, or answered by an error', async () => {
    for (const fault of ['cut', 'closed', 'reset', { status: 500, body: '' }] as const) {
      let times = 0;
      proxy.fault = (method, url) => {
        const isCheckpoint = method === 'GET' && url.includes('.json.gz');
        return isCheckpoint && times++ === 0 ? fault : undefined;
      };
      expect((await listFresh()).records).toEqual(expected);
    }
  });
});

function damage(packed: Uint8Array): Uint8Array {
  const copy = Buffer.from(packed);
  const at = Math.floor(copy.length / 2);
  copy.fill(0x55, at, at + 64);
  return copy;
}

describe('`list` reports nothing with credentials that may not', () => {
  const deny = (...actions: string[]) => {
    const [bucket = ''] = place.url.slice('s3://'.length).split('/');
    const [Effect, Action] = actions.length > 0 ? ['Deny', actions] : ['Allow', ['s3:GetObject']];
    const Resource = [`arn:aws:s3:::${place.url.slice('s3://'.length)}/catalog/*`];
    const Statement = [{ Effect, Principal: '*', Action, Resource }];
    const Policy = JSON.stringify({ Version: '2012-10-17', Statement });
    return s3Client().send(new PutBucketPolicyCommand({ Bucket: bucket, Policy }));
  };

  test('write a checkpoint', async () => {
    await deny('s3:PutObject');
    const ran = await runCli(['list', '--registry', place.url, '--status', 'queued'], {
      env: s3Env(),
    });
    expect(ran).toMatchObject({ exitCode: 0, stderr: '' });
    expect(ran.stdout.trimEnd().split('\n')).toHaveLength(expected.length + 1);
    expect(await checkpoints()).toEqual([]);
    await deny();
  });

  test('read a checkpoint', async () => {
    await listFresh();
    await deny('s3:GetObject');
    expect(await listFresh()).toMatchObject({ records: expected, events: [] });
    await deny();
  });
});

test('three concurrent clients all list every image', async () => {
  const s3 = place.options;
  const list = async () => all((await openRegistry(place.url, s3)).listImages({ all: true }));
  expect(await Promise.all([list(), list(), list()])).toEqual([expected, expected, expected]);
  expect((await listFresh()).reads).toBe(0);
});

test('`gc` writes a checkpoint with new records and removes the older ones; a dry run changes nothing', async () => {
  const [like] = expected as [ImageRecord];
  place = await bucketPlace();
  await plantKilled(place, like, MANY);
  const registry = await openRegistry(place.url, place.options);
  await listFresh();
  const old = await all(registry.collectGarbage({ olderThanMs: 3600_000, remove: true }));
  expect(old).toEqual([]);
  expect(await checkpoints()).toEqual([FIRST]);
  await publish(registry, { name: 'new' });
  await all(registry.collectGarbage(ALL));
  expect(await checkpoints()).toEqual([FIRST]);
  const removed = await all(registry.collectGarbage({ ...ALL, remove: true }));
  expect(removed.filter(({ kind }) => kind === 'stray')).toMatchObject([
    { key: FIRST, reason: 'a newer catalog checkpoint exists' },
  ]);
  expect(await checkpoints()).toEqual([SECOND]);
  const listed = await listFresh();
  expect(listed).toMatchObject({ reads: 0, writes: 0 });
  expect(listed.records).toHaveLength(MANY + 1);
});

test('every 256th image that becomes active writes a checkpoint', async () => {
  const registry = await openRegistry(place.url, place.options);
  await publish(registry, { id: '11111111-1111-4111-8111-1111111111ff', name: 'none' });
  expect(await checkpoints()).toEqual([]);
  await publish(registry, { id: '11111111-1111-4111-8111-111111111100', name: 'its turn' });
  expect(await checkpoints()).toEqual([FIRST]);
  expect((await listFresh()).reads).toBe(0);
});

test('`list` of a mirror made by rclone uses the checkpoint in a bucket, and ignores it in a directory', async () => {
  await listFresh();
  const directory = join(await scratchFolder(), 'mirror');
  const bucket = await createBucket();
  await rclone('copy', `lab:${place.url.slice('s3://'.length)}`, directory);
  await rclone('copy', directory, `lab:${bucket}/mirror`);
  expect(await listFresh(`s3://${bucket}/mirror`)).toMatchObject({ records: expected, reads: 0 });
  const there = await openRegistry(directory);
  expect(await all(there.listImages({ all: true }))).toEqual(expected);
  await writeFile(join(directory, SECOND), 'garbage');
  expect(await all(there.listImages({ all: true }))).toEqual(expected);
  await all(there.collectGarbage({ ...ALL, remove: true }));
  expect(await all(there.listImages({ all: true }))).toHaveLength(expected.length);
});

test('`verify`, `prune`, `copy` and `show NAME` see images newer than the checkpoint', async () => {
  const registry = await openRegistry(place.url, place.options);
  const one = await publish(registry, { name: 'web' });
  await listFresh();
  const two = await publish(registry, { name: 'web' });
  expect((await registry.verifyImage(one.id)).problems).toEqual([]);
  const pruned = await registry.pruneImages({ last: 1 });
  expect(pruned.filter(({ kept }) => !kept)).toMatchObject([{ image: { id: one.id } }]);
  expect((await registry.getImage('web')).id).toBe(two.id);
  const other = await bucketPlace();
  const target = await openRegistry(other.url, other.options);
  expect((await registry.copyImage('web', target)).image.id).toBe(two.id);
  expect((await other.keys()).filter((key) => key.startsWith('catalog/'))).toEqual([]);
});

test.each(PLACES)('a registry of few images on $name has no checkpoint', async ({ make }) => {
  const few = await make();
  const registry = await openRegistry(few.url, few.options);
  const records = await queueMany(registry, 5);
  expect(await all(registry.listImages())).toEqual(records);
  await all(registry.collectGarbage({ ...ALL, remove: true }));
  expect((await few.keys()).filter((key) => key.startsWith('catalog/'))).toEqual([]);
});

test('the md5 that proves a line equals the ETag of the bucket', async () => {
  await listFresh();
  const [line] = await linesOf(FIRST);
  const info = await place.store.stat(`images/${line?.id}/record/00000001.json`);
  expect(
    createHash('md5')
      .update(line?.record ?? '')
      .digest('hex'),
  ).toBe(info?.etag);
});
