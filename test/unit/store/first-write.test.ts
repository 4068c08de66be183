// The warning before the first write to a store on which a race has more than one winner.
import { chown, mkdtemp, readFile, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import type { RunEvent } from '#built/core/events.js';
import { FirstWrite } from '#built/store/capabilities/first-write.js';
import type { ObjectStore } from '#built/store/object-store.js';

let folder: string;
beforeAll(async () => {
  folder = await mkdtemp(join(tmpdir(), 'first-write-'));
});
afterAll(() => rm(folder, { recursive: true }));

/** A bucket, as far as probes need it: the last writer of a key wins, and all get a success. */
function carelessStore() {
  const objects = new Map<string, Uint8Array>();
  let creates = 0;
  const store: Partial<ObjectStore> = {
    url: 's3://careless',
    create: async (key, body) => {
      creates += 1;
      objects.set(key, body);
    },
    read: async (key) => objects.get(key),
    list: async function* (prefix) {
      for (const [key, { byteLength: size }] of objects)
        if (key.startsWith(prefix)) yield { key, size, etag: null, lastModified: null };
    },
    remove: async (keys) => {
      for (const key of keys) objects.delete(key);
    },
  };
  return { store: store as ObjectStore, objects, creates: () => creates };
}

async function warnings(store: ObjectStore, cache: string | undefined, times = 1) {
  const events: RunEvent[] = [];
  const first = new FirstWrite(store, cache, (event) => events.push(event));
  for (let n = 0; n < times; n += 1) await first.check({});
  return events.map((event) => (event.type === 'note' ? `${event.level}: ${event.message}` : ''));
}

describe('the first write', () => {
  it('warns once, and leaves no probe', async () => {
    const { store, objects } = carelessStore();
    const said = await warnings(store, undefined, 3);
    expect(said).toHaveLength(1);
    expect(said[0]).toMatch(/^warning: this registry is not safe for many: 16 of 16 writers/);
    expect(objects.size).toBe(0);
  });

  it('does not repeat a probe of an earlier process, and warns again', async () => {
    const { store, creates } = carelessStore();
    const cache = join(folder, 'known');
    expect(await warnings(store, cache)).toHaveLength(1);
    const tried = creates();
    expect(await warnings(store, cache)).toHaveLength(1);
    expect(creates()).toBe(tried);
    const file = join(cache, 'capabilities-1.json');
    const found = JSON.parse(await readFile(file, 'utf8'));
    await writeFile(file, JSON.stringify({ ...found, at: found.at - 31 * 24 * 3600_000 }));
    expect(await warnings(store, cache)).toHaveLength(1);
    expect(creates()).toBeGreaterThan(tried);
  });

  it('ignores a cache that another user could have written', async () => {
    const { store, creates } = carelessStore();
    const cache = join(folder, 'planted');
    await warnings(store, cache);
    await chown(cache, 65_533, 65_533);
    const tried = creates();
    expect(await warnings(store, cache)).toHaveLength(1);
    expect(creates()).toBeGreaterThan(tried);
  });

  it('works with a cache that cannot be written and a store that is down', async () => {
    const { store } = carelessStore();
    expect(await warnings(store, '/dev/null/cache')).toHaveLength(1);
    const down = { ...store, create: () => Promise.reject(new Error('down')) };
    const [said] = await warnings(down, undefined);
    expect(said).toMatch(/could not be tried: down$/);
  });
});
