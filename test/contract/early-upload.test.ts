// Parts that are sent while the file is written, and what the finished file makes of them; on a real server.
import { createHash, randomBytes } from 'node:crypto';
import { open, readFile, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { Readable } from 'node:stream';
import { buffer } from 'node:stream/consumers';
import { crc32c } from '@node-rs/crc32';
import { beforeAll, describe, expect, test } from 'vitest';
import { flatten } from '#built/image/flatten.js';
import { readDefaults } from '#built/registry/defaults.js';
import type { ObjectStore, PartBody, PartUpload } from '#built/store/object-store.js';
import { startEarlyUpload } from '#built/transfer/upload/early-upload.js';
import { fileSource } from '#built/transfer/upload/file-source.js';
import { uploadImage } from '#built/transfer/upload/upload-image.js';
import { waitFor } from '../support/wait.ts';
import { bucketPlace, type Place, scratchFolder } from './places.ts';

const MIB = 1024 * 1024;
const PART = 5 * MIB;
const policy = { ...readDefaults().upload, partSizeMib: 5, partMs: 60_000 };
const { signal } = new AbortController();

let place: Place;
beforeAll(async () => {
  place = await bucketPlace();
});

test('a part that is not what its crc32c says is refused, and one that is is taken', async () => {
  const data = randomBytes(1000);
  const body = (sum: number): PartBody => ({
    ...{ start: 0, length: data.length, crc32c: sum.toString(16).padStart(8, '0') },
    open: () => Readable.from([data]),
  });
  const upload = await place.store.startUpload('multi/crc', { check: 'crc32c' });
  const wrong = upload.putPart(1, body(crc32c(data) ^ 1));
  await expect(wrong).rejects.toMatchObject({ code: 'INTEGRITY', retryable: true });
  const part = await upload.putPart(1, body(crc32c(data)));
  const parts = [{ ...part, crc32c: body(crc32c(data)).crc32c ?? '' }];
  expect(await upload.complete(parts)).toMatchObject({ size: 1000 });
});

describe.each([true, false])('with checksums %s', (checksums) => {
  test('what changes behind an early part is sent again; the object is the finished file', async () => {
    const path = join(await scratchFolder(), 'image');
    const key = `images/${checksums}/vda.qcow2`;
    const bytes = randomBytes(30 * PART + 1000);
    const sent: number[] = [];
    const store = counting(place.store, sent);
    const early = await startEarlyUpload(store, {
      ...{ key, path, direct: true, expectedBytes: bytes.length, policy, checksums, signal },
    });
    const file = await open(path, 'w');
    await file.write(bytes, 0, 25 * PART, 0);
    await waitFor('parts are sent ahead', async () => sent.length >= 8);
    const ahead = await early.finish();
    const before = [...sent];
    expect([...ahead.parts.keys()].sort((a, b) => a - b)).toEqual(before.sort((a, b) => a - b));
    expect(before).not.toContain(25);
    // As qemu-img does at its end: the first table, and one that is further back.
    randomBytes(512).copy(bytes, 100);
    randomBytes(512).copy(bytes, 3 * PART + 7);
    await file.write(bytes, 0, bytes.length, 0);
    await file.sync();
    await file.close();
    sent.length = 0;
    const source = await fileSource(path, { direct: true });
    const options = { key, source, algorithms: ['sha256' as const], policy, checksums, signal };
    const { size, digests } = await uploadImage(store, { ...options, early: ahead });
    const again = before.filter((number) => sent.includes(number)).sort((a, b) => a - b);
    expect(again).toEqual([1, 4]);
    expect(sent.length).toBe(31 - before.length + 2);
    expect(size).toBe(bytes.length);
    const sha256 = createHash('sha256').update(bytes).digest('hex');
    expect(digests.sha256).toBe(sha256);
    const copy = join(await scratchFolder(), 'copy');
    await place.copyOut(key, copy);
    expect(
      createHash('sha256')
        .update(await readFile(copy))
        .digest('hex'),
    ).toBe(sha256);
    expect(await place.openUploads()).toEqual([]);
  });
});

test('of an image that is compressed in one pass the object is the finished file', async () => {
  const folder = await scratchFolder();
  const source = { path: join(folder, 'disk.raw'), format: 'raw', backingChain: [] };
  const bytes = 110 * MIB;
  await writeFile(source.path, randomBytes(bytes));
  const path = join(folder, 'image');
  const key = 'images/zipped/vda.qcow2';
  const sent: number[] = [];
  const store = counting(place.store, sent);
  const early = await startEarlyUpload(store, {
    ...{ key, path, direct: true, expectedBytes: bytes, policy, checksums: true, signal },
  });
  const { direct = false, digests } = await flatten({
    ...{ source, virtualSize: bytes, target: { path, format: 'qcow2' }, compress: 'zstd' },
    ...{ isScratch: true, algorithms: ['sha256'], priority: { nice: 0, ionice: 'none' } },
    ...{ timeouts: { convertMs: 60_000, checkMs: 60_000 }, onEvent: () => undefined, signal },
  });
  expect({ direct, digests }).toEqual({ direct: true, digests: undefined });
  await waitFor('parts are sent ahead', async () => sent.length > 0);
  const ahead = await early.finish();
  const image = await fileSource(path, { direct });
  const options = { key, source: image, algorithms: ['sha256' as const], policy, checksums: true };
  const uploaded = await uploadImage(store, { ...options, early: ahead });
  const stored = await buffer((await place.store.openRead(key)) as Readable);
  expect(stored.equals(await readFile(path))).toBe(true);
  expect(uploaded.digests.sha256).toBe(createHash('sha256').update(stored).digest('hex'));
});

test.each([
  ['in memory', 5, true],
  ['larger than what is kept in memory, with crc32c', 33, true],
  ['larger than what is kept in memory, with md5', 33, false],
])(
  'parts of any size and place, %s, go out as they are in the file',
  async (_, partSizeMib, checksums) => {
    const path = join(await scratchFolder(), 'image');
    const bytes = randomBytes(2 * partSizeMib * MIB + 4097);
    const file = await open(path, 'w');
    await file.write(bytes);
    await file.close();
    const source = await fileSource(path, { direct: true });
    const key = `images/odd-${partSizeMib}-${checksums}/vda.raw`;
    const algorithms = ['sha256' as const, 'md5' as const];
    const options = { key, source, algorithms, policy: { ...policy, partSizeMib }, checksums };
    const { digests } = await uploadImage(place.store, options);
    expect(digests).toEqual({
      sha256: createHash('sha256').update(bytes).digest('hex'),
      md5: createHash('md5').update(bytes).digest('hex'),
    });
    const stored = await place.store.openRead(key);
    expect((await buffer(stored as Readable)).equals(bytes)).toBe(true);
  },
);

/** The store, telling which parts are sent. */
function counting(store: ObjectStore, sent: number[]): ObjectStore {
  const counted = (upload: PartUpload): PartUpload =>
    new Proxy(upload, {
      get: (target, name) => {
        if (name !== 'putPart') return bound(target, name);
        return async (...args: Parameters<PartUpload['putPart']>) => {
          const part = await target.putPart(...args);
          sent.push(args[0]);
          return part;
        };
      },
    });
  return new Proxy(store, {
    get: (target, name) => {
      if (name !== 'startUpload') return bound(target, name);
      return async (...args: Parameters<ObjectStore['startUpload']>) =>
        counted(await target.startUpload(...args));
    },
  });
}

function bound(target: object, name: string | symbol): unknown {
  const value: unknown = Reflect.get(target, name, target);
  return typeof value === 'function' ? value.bind(target) : value;
}
