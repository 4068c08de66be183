// What every store promises: one suite, run on a directory and on a bucket of a real server.
import { createHash, randomBytes } from 'node:crypto';
import { Readable } from 'node:stream';
import { buffer } from 'node:stream/consumers';
import { beforeAll, describe, expect, test } from 'vitest';
import { eachBounded } from '#built/core/bounded.js';
import type { ObjectStore, PartBody } from '#built/store/object-store.js';
import { PLACES, type Place } from './places.ts';

const MIB = 1024 ** 2;

const bytes = (text: string) => Buffer.from(text);
const md5 = (data: Uint8Array) => createHash('md5').update(data).digest('hex');
const part = (start: number, data: Uint8Array, sum = md5(data)): PartBody => ({
  start,
  length: data.byteLength,
  md5: sum,
  open: () => Readable.from([data]),
});

async function text(store: ObjectStore, key: string): Promise<string | undefined> {
  const body = await store.read(key);
  return body === undefined ? undefined : Buffer.from(body).toString();
}

async function all<T>(items: AsyncIterable<T>): Promise<T[]> {
  const list: T[] = [];
  for await (const item of items) list.push(item);
  return list;
}

async function content(store: ObjectStore, key: string, range = {}): Promise<Buffer | undefined> {
  const stream = await store.openRead(key, range);
  return stream === undefined ? undefined : buffer(stream);
}

describe.each(PLACES)('$name', ({ make }) => {
  let place: Place;
  let store: ObjectStore;
  beforeAll(async () => {
    place = await make();
    store = place.store;
    await store.checkAccess();
  });

  test('`create` stores an object once, and refuses an existing key', async () => {
    await store.create('once/a.json', bytes('first'), { contentType: 'application/json' });
    await expect(store.create('once/a.json', bytes('second'))).rejects.toMatchObject({
      code: 'PRECONDITION_LOST',
      retryable: false,
    });
    expect(Buffer.from((await store.read('once/a.json')) ?? [])).toEqual(bytes('first'));
    expect(await store.stat('once/a.json')).toMatchObject({ key: 'once/a.json', size: 5 });
  });

  test('a missing object is `undefined` for `read`, `openRead` and `stat`', async () => {
    expect(await store.read('none/a')).toBeUndefined();
    expect(await store.openRead('none/a')).toBeUndefined();
    expect(await store.stat('none/a')).toBeUndefined();
    expect(await all(store.list('none/'))).toEqual([]);
    await expect(store.remove(['none/a', 'none/b'])).resolves.toBeUndefined();
  });

  test('of fifty writers of one key exactly one wins, and its bytes are stored', async () => {
    const writers = Array.from({ length: 50 }, (_, n) => bytes(`writer ${n}`));
    const results = await Promise.allSettled(writers.map((body) => store.create('race/x', body)));
    const won = results.flatMap((result, n) => (result.status === 'fulfilled' ? [n] : []));
    expect(won).toHaveLength(1);
    for (const result of results) {
      if (result.status === 'rejected') expect(result.reason.code).toBe('PRECONDITION_LOST');
    }
    expect(Buffer.from((await store.read('race/x')) ?? [])).toEqual(writers[won[0] ?? -1]);
  });

  test('`openRead` returns exactly the requested range', async () => {
    await store.create('range/x', bytes('0123456789'));
    expect(String(await content(store, 'range/x'))).toBe('0123456789');
    expect(String(await content(store, 'range/x', { start: 3, end: 7 }))).toBe('3456');
    expect(String(await content(store, 'range/x', { start: 9 }))).toBe('9');
    expect(String(await content(store, 'range/x', { start: 0, end: 1 }))).toBe('0');
  });

  test.each([
    'odd/a b',
    'odd/ü/ß/日本',
    'odd/a+b%20c&d=e?f#g',
    "odd/it's (1) [2] {3}!*",
    'odd/"quoted"<&>',
    'odd/trailing.',
    'odd/~tilde@$,;:',
  ])('the key %j is a key like any other', async (key) => {
    await store.create(key, bytes(key));
    expect(await text(store, key)).toBe(key);
    expect((await all(store.list('odd/'))).map((info) => info.key)).toContain(key);
    await store.remove([key]);
    expect(await store.stat(key)).toBeUndefined();
  });

  test('`list` has more than a page, in the order of bytes, after any key', async () => {
    const names = Array.from(
      { length: 1203 },
      (_, n) => `many/${n % 7}/${String(n).padStart(5, '0')}`,
    );
    names.push('many/0-1', 'many/0.json', 'many/é', 'many/Z', 'many/\u{1F600}', 'many/\uFFFD');
    await eachBounded(names, 16, (key: string) => store.create(key, bytes('x')));
    const sorted = [...names].sort((a, b) => Buffer.compare(bytes(a), bytes(b)));
    expect((await all(store.list('many/'))).map(({ key }) => key)).toEqual(sorted);
    for (const at of [0, 5, 1000, 1207]) {
      const startAfter = sorted[at] ?? '';
      const rest = await all(store.list('many/', { startAfter }));
      expect(rest.map(({ key }) => key)).toEqual(sorted.slice(at + 1));
    }
    const inThree = await all(store.list('many/3/001'));
    expect(inThree.map(({ key }) => key)).toEqual(
      sorted.filter((key) => key.startsWith('many/3/001')),
    );
    const folders = [0, 1, 2, 3, 4, 5, 6].map((n) => `many/${n}/`);
    expect(await all(store.listFolders('many/'))).toEqual(folders);
    expect(await all(store.listFolders('many/3'))).toEqual(['many/3/']);
    await store.remove(names);
    expect(await all(store.list('many/'))).toEqual([]);
  });

  test('parts sent in any order, one of them twice, make the object', async () => {
    const [one, wrong, two, three] = [5 * MIB, 5 * MIB, 5 * MIB, 777].map((size) =>
      randomBytes(size),
    );
    if (!one || !wrong || !two || !three) throw new Error('no bytes');
    const upload = await store.startUpload('multi/x', { contentType: 'application/octet-stream' });
    const third = await upload.putPart(3, part(10 * MIB, three));
    await upload.putPart(2, part(5 * MIB, wrong));
    const first = await upload.putPart(1, part(0, one));
    expect(await store.stat('multi/x')).toBeUndefined();
    const second = await upload.putPart(2, part(5 * MIB, two));
    const again = store.resumeUpload('multi/x', upload.uploadId);
    expect(await again.listParts()).toEqual([first, second, third]);
    expect(await all(store.listUploads('multi/'))).toMatchObject([
      { key: 'multi/x', uploadId: upload.uploadId, startedAt: expect.any(Date) },
    ]);
    const info = await again.complete([first, second, third]);
    expect(info).toMatchObject({ key: 'multi/x', size: 10 * MIB + 777 });
    expect(md5((await content(store, 'multi/x')) ?? bytes(''))).toBe(
      md5(Buffer.concat([one, two, three])),
    );
    expect(await all(store.listUploads(''))).toEqual([]);
    expect(await place.openUploads()).toEqual([]);
  });

  test('an upload may have one empty part', async () => {
    const upload = await store.startUpload('multi/empty');
    const only = await upload.putPart(1, { ...part(0, bytes('')), open: () => Readable.from([]) });
    expect(await upload.complete([only])).toMatchObject({ size: 0 });
    expect(await store.stat('multi/empty')).toMatchObject({ size: 0 });
  });

  test('`putPart` refuses a part with a wrong md5', async () => {
    const upload = await store.startUpload('multi/md5');
    const sending = upload.putPart(1, part(0, bytes('these bytes'), md5(bytes('other bytes'))));
    await expect(sending).rejects.toMatchObject({ code: 'INTEGRITY', retryable: true });
    await upload.abort();
  });

  test('`putPart` fails at once if its source breaks, with the reason', async () => {
    const upload = await store.startUpload('multi/broken');
    const open = () =>
      new Readable({
        read() {
          this.destroy(new Error('the disk failed'));
        },
      });
    await expect(upload.putPart(1, { start: 0, length: 5 * MIB, open })).rejects.toThrow(
      /the disk failed/,
    );
    await upload.abort();
  });

  test('`complete` refuses parts that were not sent', async () => {
    const upload = await store.startUpload('multi/gap');
    const one = await upload.putPart(1, part(0, randomBytes(5 * MIB)));
    const missing = { number: 2, size: 5, etag: md5(bytes('never')) };
    await expect(upload.complete([one, missing])).rejects.toMatchObject({ code: 'UPLOAD' });
    expect(await store.stat('multi/gap')).toBeUndefined();
    await upload.abort();
  });

  test('an aborted upload leaves nothing, and may be aborted again', async () => {
    const upload = await store.startUpload('multi/abort');
    await upload.putPart(1, part(0, randomBytes(5 * MIB)));
    expect(await place.openUploads()).not.toEqual([]);
    await upload.abort();
    await upload.abort();
    expect(await upload.listParts()).toEqual([]);
    expect(await all(store.listUploads(''))).toEqual([]);
    expect(await place.openUploads()).toEqual([]);
    expect(await store.stat('multi/abort')).toBeUndefined();
  });

  test('a second upload to a key does not replace the object', async () => {
    await store.create('multi/taken', bytes('first'));
    const upload = await store.startUpload('multi/taken');
    const one = await upload.putPart(1, part(0, bytes('second')));
    await expect(upload.complete([one])).rejects.toMatchObject({ code: 'PRECONDITION_LOST' });
    await upload.abort();
    expect(await text(store, 'multi/taken')).toBe('first');
    expect(await place.openUploads()).toEqual([]);
  });

  test('`read` does not load an object beyond `maxBytes`', async () => {
    const upload = await store.startUpload('large/x');
    const one = await upload.putPart(1, part(0, randomBytes(17 * MIB)));
    await upload.complete([one]);
    await expect(store.read('large/x')).rejects.toMatchObject({ code: 'INTEGRITY' });
    await store.remove(['large/x']);
  });

  test('a fired signal ends every call', async () => {
    const signal = AbortSignal.abort();
    const code = { code: 'INTERRUPTED' };
    await expect(store.create('signal/x', bytes('x'), { signal })).rejects.toMatchObject(code);
    await expect(store.read('signal/x', { signal })).rejects.toMatchObject(code);
    await expect(all(store.list('signal/', { signal }))).rejects.toMatchObject(code);
    await expect(store.startUpload('signal/x', { signal })).rejects.toMatchObject(code);
    expect(await store.stat('signal/x')).toBeUndefined();
    expect(await place.openUploads()).toEqual([]);
  });

  test('a signal ends a read in progress', async () => {
    const upload = await store.startUpload('signal/long');
    await upload.complete([await upload.putPart(1, part(0, randomBytes(64 * MIB)))]);
    const controller = new AbortController();
    const stream = await store.openRead('signal/long', { signal: controller.signal });
    const reading = (async () => {
      for await (const _ of stream ?? []) controller.abort();
    })();
    await expect(reading).rejects.toMatchObject({ code: 'INTERRUPTED' });
    await store.remove(['signal/long']);
  });

  test('no key leads out of the registry', async () => {
    for (const key of ['../x', 'a/../../x', '/etc/passwd', 'a//b', '.uploads/x']) {
      await expect(store.create(key, bytes('x'))).rejects.toMatchObject({ code: 'USAGE' });
      await expect(store.read(key)).rejects.toMatchObject({ code: 'USAGE' });
      await expect(store.remove([key])).rejects.toMatchObject({ code: 'USAGE' });
    }
  });
});
