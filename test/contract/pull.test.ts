// Pull on every store: resumed by a second process, sparse, and never a file that is not the image.
import { execFileSync } from 'node:child_process';
import { randomBytes } from 'node:crypto';
import { existsSync, statSync } from 'node:fs';
import { open, readdir, readFile, truncate, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import type { ImageRecord } from '#built/registry/record/image.js';
import { openRegistry, type Registry } from '#built/registry/registry.js';
import { fileSource } from '#built/transfer/upload/file-source.js';
import { type FaultyProxy, startFaultyProxy } from '../support/faulty-proxy.ts';
import { bucketPlace, flipBit, PLACES, type Place, scratchFolder } from './places.ts';

const MIB = 1024 * 1024;
const RANGE = 5 * MIB;
const PARTS = { partSizeMib: 5, concurrency: 3, retries: 1, retryMinMs: 10, retryMaxMs: 20 };

/** Of the suite that runs. */
let folder = '';

async function publish(registry: Registry, file: string): Promise<ImageRecord> {
  const { id } = await registry.queueImage({ name: 'pull', disk_format: 'raw' });
  await registry.markSaving(id);
  const { digests, size } = await registry.uploadData(id, 'disk.raw', await fileSource(file));
  return registry.activateImage(id, { data: { name: 'disk.raw', size, sha256: digests.sha256 } });
}

/** 42 MiB: data, a long hole, data that ends in the middle of a block, zeros at the end. */
async function makeData(name: string): Promise<string> {
  const path = join(folder, name);
  await writeFile(path, randomBytes(7 * MIB + 13));
  await truncate(path, 42 * MIB);
  const file = await open(path, 'r+');
  await file.write(randomBytes(2 * MIB), 0, 2 * MIB, 31 * MIB + 5);
  await file.close();
  return path;
}

async function leftovers(name: string): Promise<string[]> {
  return (await readdir(folder)).filter((each) => each.startsWith(name) && each !== name).sort();
}

describe.each(PLACES)('$name', ({ make }) => {
  let place: Place;
  let registry: Registry;
  let image: ImageRecord;
  let data = '';

  beforeAll(async () => {
    folder = await scratchFolder();
    place = await make();
    registry = await openRegistry(place.url, { ...place.options, upload: PARTS });
    data = await makeData(`data-${place.url.replaceAll('/', '_')}`);
    image = await publish(registry, data);
  });

  test('`pull` writes the image with its holes, and nothing beside it', async () => {
    const file = join(folder, 'whole');
    const seen: number[] = [];
    await registry.pullImage(image.id, file, { onProgress: (bytes) => seen.push(bytes) });
    execFileSync('cmp', [data, file]);
    expect(statSync(file).blocks * 512).toBeLessThan(10 * MIB);
    expect(seen.at(-1)).toBe(42 * MIB);
    expect(await leftovers('whole')).toEqual([]);
    await registry.pullImage(image.id, file, { overwrite: true });
    execFileSync('cmp', [data, file]);
  });

  test('`pull` keeps a partial file when interrupted, and resumes it', async () => {
    const file = join(folder, 'interrupted');
    const controller = new AbortController();
    const notes: string[] = [];
    const onProgress = (bytes: number) => bytes > 20 * MIB && controller.abort();
    const { signal } = controller;
    const pull = registry.pullImage(image.id, file, {
      signal,
      onProgress,
      onNote: (n) => notes.push(n),
    });
    await expect(pull).rejects.toMatchObject({ code: 'INTERRUPTED' });
    expect(existsSync(file)).toBe(false);
    expect(await leftovers('interrupted')).toEqual([
      'interrupted.partial',
      'interrupted.partial.ranges',
    ]);
    for (const name of await leftovers('interrupted'))
      expect(statSync(join(folder, name)).mode & 0o777, name).toBe(0o600);
    expect(notes).toEqual([expect.stringContaining('is kept')]);
    const seen: number[] = [];
    await registry.pullImage(image.id, file, { onProgress: (bytes) => seen.push(bytes) });
    expect(seen[0]).toBeGreaterThanOrEqual(RANGE);
    execFileSync('cmp', [data, file]);
    expect(statSync(file).mode & 0o777).toBe(0o640 & ~process.umask());
    expect(await leftovers('interrupted')).toEqual([]);
  });

  test('`pull` fetches a damaged partial file again', async () => {
    const file = join(folder, 'harmed');
    const controller = new AbortController();
    const onProgress = (bytes: number) => bytes > 30 * MIB && controller.abort();
    const { signal } = controller;
    await expect(registry.pullImage(image.id, file, { signal, onProgress })).rejects.toThrow();
    const [, first = ''] = (await readFile(`${file}.partial.ranges`, 'utf8')).split('\n');
    const harmed = await open(`${file}.partial`, 'r+');
    await harmed.write('harm', Number(first) * RANGE);
    await harmed.close();
    await registry.pullImage(image.id, file);
    execFileSync('cmp', [data, file]);
  });

  test('`pull` does not resume a partial file of another image', async () => {
    const file = join(folder, 'other');
    const wrong = { key: 'images/x', size: 42 * MIB, sha256: '0'.repeat(64), etag: null };
    await writeFile(`${file}.partial`, randomBytes(42 * MIB));
    const note = `${JSON.stringify({ ...wrong, rangeBytes: RANGE })}\n0\n1\n2\n`;
    await writeFile(`${file}.partial.ranges`, note);
    await registry.pullImage(image.id, file);
    execFileSync('cmp', [data, file]);
  });

  test('of two pulls into one file at once one is refused', async () => {
    const file = join(folder, 'twice');
    const both = await Promise.allSettled([
      registry.pullImage(image.id, file),
      registry.pullImage(image.id, file),
    ]);
    expect(both.map(({ status }) => status).sort()).toEqual(['fulfilled', 'rejected']);
    const lost = both.find(({ status }) => status === 'rejected') as PromiseRejectedResult;
    expect(lost.reason).toMatchObject({
      code: 'USAGE',
      message: expect.stringContaining('another process'),
    });
    execFileSync('cmp', [data, file]);
  });

  test('a flipped bit, and an object of another size, are refused and leave nothing', async () => {
    const damaged = await publish(registry, data);
    const key = `images/${damaged.id}/disk.raw`;
    await flipBit(place, key, 33 * MIB);
    const file = join(folder, 'flipped');
    await expect(registry.pullImage(damaged.id, file)).rejects.toMatchObject({ code: 'INTEGRITY' });
    const short = join(folder, 'short-data');
    await writeFile(short, 'short');
    await place.copyIn(short, key);
    await expect(registry.pullImage(damaged.id, file)).rejects.toMatchObject({ code: 'INTEGRITY' });
    expect((await readdir(folder)).filter((name) => name.startsWith('flipped'))).toEqual([]);
  });
});

describe('behind a proxy', () => {
  let place: Place;
  let proxy: FaultyProxy;
  let registry: Registry;
  let image: ImageRecord;
  let data = '';

  beforeAll(async () => {
    folder = await scratchFolder();
    place = await bucketPlace();
    proxy = await startFaultyProxy(place.options.s3?.endpoint ?? '');
    const s3 = { ...place.options.s3, endpoint: proxy.endpoint };
    registry = await openRegistry(place.url, { s3, upload: PARTS });
    data = await makeData('data-proxy');
    image = await publish(registry, data);
  });
  afterAll(() => proxy.stop());

  const gets = () => proxy.seen.filter((line) => /^GET .*disk\.raw/.test(line)).length;

  test('a second `pull` fetches only the ranges that the first did not', async () => {
    const file = join(folder, 'outage');
    let left = 4;
    proxy.fault = (method, url) => {
      if (method !== 'GET' || !url.includes('disk.raw')) return undefined;
      left -= 1;
      return left >= 0 ? undefined : 'reset';
    };
    await expect(registry.pullImage(image.id, file)).rejects.toMatchObject({ code: 'REGISTRY' });
    const note = await readFile(`${file}.partial.ranges`, 'utf8');
    const whole = note.split('\n').filter((line) => /^\d+$/.test(line)).length;
    expect(whole).toBeGreaterThanOrEqual(1);
    proxy.fault = () => undefined;
    proxy.seen.length = 0;
    await registry.pullImage(image.id, file);
    expect(gets()).toBe(Math.ceil((42 * MIB) / RANGE) - whole);
    execFileSync('cmp', [data, file]);
  });

  test('`pull` fails if the object is replaced meanwhile, and leaves nothing', async () => {
    const file = join(folder, 'replaced');
    const other = join(folder, 'other-data');
    await writeFile(other, randomBytes(42 * MIB));
    proxy.seen.length = 0;
    // The server answers this if the ETag is no longer the one that was requested.
    proxy.fault = (method, url) =>
      method === 'GET' && url.includes('disk.raw') && gets() >= 3
        ? { status: 412, body: '<Error><Code>PreconditionFailed</Code></Error>' }
        : undefined;
    await expect(registry.pullImage(image.id, file)).rejects.toMatchObject({
      ...{ code: 'INTEGRITY', message: expect.stringContaining('replaced') },
    });
    proxy.fault = () => undefined;
    expect((await readdir(folder)).filter((name) => name.startsWith('replaced'))).toEqual([]);
    const key = `images/${image.id}/disk.raw`;
    const etag = (await place.store.stat(key))?.etag ?? '';
    await place.copyIn(other, key);
    await expect(place.store.openRead(key, { ifMatch: etag })).rejects.toMatchObject({
      code: 'PRECONDITION_LOST',
    });
  });
});
