// An alias that is moved to an image while the image is deleted: in every order of their requests, and where one of them dies.
import { randomUUID } from 'node:crypto';
import { cp, mkdtemp, rm } from 'node:fs/promises';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { rollbackAlias } from '#built/registry/aliases/alias-log.js';
import { readAlias } from '#built/registry/aliases/aliases.js';
import { pointAlias } from '#built/registry/aliases/move-alias.js';
import { deleteImage } from '#built/registry/lifecycle/delete-image.js';
import { collectGarbage } from '#built/registry/lifecycle/garbage.js';
import { pruneImages } from '#built/registry/lifecycle/prune-images.js';
import { readRecord } from '#built/registry/record/image-records.js';
import { openRegistry } from '#built/registry/registry.js';
import type { ObjectStore } from '#built/store/object-store.js';
import { openStore } from '#built/store/open-store.js';
import { runCli } from '../support/cli.ts';
import { type Outcome, runSchedule, type Schedule } from '../support/interleavings.ts';
import { PLACES } from './places.ts';
import { all, publish } from './publish.ts';

const ALIAS = 'web/latest';
const TIMES = { requestMs: 60_000, partMs: 60_000 };

interface Images {
  /** What the alias points to at first. */
  old: string;
  /** What it is moved to, and what is deleted. */
  wanted: string;
}

type Work = (store: ObjectStore, images: Images) => Promise<unknown>;

const set: Work = (store, { wanted }) => pointAlias(store, ALIAS, wanted, {});
const remove: Work = (store, { wanted }) => deleteImage(store, wanted, {});

/** Ends an image that nothing protects as `remove` does; the old one it keeps for its alias. */
const prune: Work = async (store, { wanted }) => {
  const pruned = await pruneImages(store, { last: 1 }, { name: 'wanted' });
  if (pruned.some(({ image, kept }) => image.id === wanted && kept)) throw new Error('kept');
};
const rollback: Work = (store) => rollbackAlias(store, ALIAS);
const gc: Work = (store) => all(collectGarbage(store, { olderThanMs: -60_000, remove: true }));

/** What must hold of alias and image, whichever command was first. */
async function assertWhole(
  store: ObjectStore,
  { wanted }: Images,
  [moved, ended]: Outcome,
): Promise<string> {
  const alias = await readAlias(store, ALIAS);
  const image = await readRecord(store, wanted);
  const isMoved = moved?.status === 'fulfilled';
  const isEnded = ended?.status === 'fulfilled';
  if (isEnded) {
    expect(image?.status).toBe('deleted');
    expect(alias?.image_id).not.toBe(wanted);
    expect(isMoved).toBe(false);
  }
  if (isMoved) {
    expect(alias?.image_id).toBe(wanted);
    expect(image?.status).toBe('active');
    expect(await store.stat(`images/${wanted}/vda.raw`)).toBeDefined();
  }
  if (ended?.status === 'rejected') expect(image?.status).toBe('active');
  return `${isMoved ? 'moved' : 'not moved'}, ${isEnded ? 'ended' : 'not ended'}`;
}

describe('in a directory', () => {
  let template: string;
  let images: Images;
  const folders: string[] = [];
  // A file system in memory, since there are some hundred registries, each synced many times.
  const folder = async () => {
    const made = await mkdtemp('/dev/shm/vp-test-races-');
    folders.push(made);
    return made;
  };
  beforeAll(async () => {
    template = await folder();
    const registry = await openRegistry(template);
    await registry.checkAccess();
    images = await makeImages(registry);
  });
  afterAll(async () => {
    for (const each of folders) await rm(each, { recursive: true, force: true });
  });

  async function inOwnCopy<T>(work: (store: ObjectStore) => Promise<T>): Promise<T> {
    const root = `${template}-${randomUUID()}`;
    await cp(template, root, { recursive: true, preserveTimestamps: true });
    try {
      return await work(await openStore(root, TIMES));
    } finally {
      await rm(root, { recursive: true });
    }
  }

  /** Every schedule that can matter; how each ended, and how many requests each actor makes alone. */
  async function tryAll(works: readonly [Work, Work]): Promise<Map<string, number>> {
    const seen = new Map<string, number>();
    const schedules: Schedule[] = [{ choices: [] }];
    for (let schedule = schedules.pop(); schedule !== undefined; schedule = schedules.pop()) {
      const { choices } = schedule;
      const [first, second] = works;
      await inOwnCopy(async (store) => {
        const both = [
          (gated: ObjectStore) => first(gated, images),
          (gated: ObjectStore) => second(gated, images),
        ] as const;
        const { outcome, next } = await runSchedule(store, both, { choices });
        const how = await assertWhole(store, images, outcome);
        seen.set(how, (seen.get(how) ?? 0) + 1);
        schedules.push(...next);
      });
    }
    return seen;
  }

  test.each([
    ['set', set],
    ['rollback', rollback],
  ] as const)(
    'no order of %s and delete leaves an alias on a deleted image',
    async (_name, move) => {
      const seen = await tryAll([move, remove]);
      expect([...seen.keys()]).toEqual(
        expect.arrayContaining(['moved, not ended', 'not moved, ended']),
      );
      expect(seen.has('moved, ended')).toBe(false);
      expect([...seen.values()].reduce((a, b) => a + b)).toBeGreaterThan(50);
    },
  );

  test('a `prune` or `alias set` that is delayed past the whole other one leaves no alias on a deleted image', async () => {
    const seen = await holdUp([set, prune], inOwnCopy, async () => images);
    expect([...seen].sort()).toEqual(['moved, not ended', 'not moved, ended']);
  });

  test('no order of the requests of `alias set` and `gc` loses the alias or the image', async () => {
    const seen = await tryAll([
      set,
      async (store, images) => {
        await gc(store, images);
        throw new Error('gc ends no image');
      },
    ]);
    expect([...seen.keys()]).toEqual(['moved, not ended']);
  });

  test('`delete` after an `alias set` that crashed at any request leaves no alias on a deleted image', async () => {
    for (let after = 0, made = Infinity; after <= made; after += 1) {
      await inOwnCopy(async (store) => {
        const works = [
          (gated: ObjectStore) => set(gated, images),
          (gated: ObjectStore) => remove(gated, images),
        ] as const;
        const death = { actor: 0, after };
        const { outcome, requests } = await runSchedule(store, works, { choices: [], death });
        made = outcome[0] === undefined ? Infinity : (requests[0] ?? 0);
        await assertWhole(store, images, [undefined, outcome[1]]);
        expect(after).toBeLessThan(100);
      });
      if (made !== Infinity) return;
    }
  });

  test('a `delete` that crashed at any request leaves an image that `alias set` refuses, or an unchanged one', async () => {
    for (let after = 0; ; after += 1) {
      const isOver = await inOwnCopy(async (store) => {
        const works = [
          (gated: ObjectStore) => remove(gated, images),
          async (gated: ObjectStore) => set(gated, images),
        ] as const;
        const death = { actor: 0, after };
        const { outcome } = await runSchedule(store, works, { choices: [], death });
        const [ended, moved] = outcome;
        await assertWhole(store, images, [moved, ended]);
        // And the next one ends what the dead one began, unless the alias points there now.
        const again = await Promise.allSettled([remove(store, images)]);
        await assertWhole(store, images, [moved, again[0]]);
        expect(again[0]?.status).toBe(moved?.status === 'fulfilled' ? 'rejected' : 'fulfilled');
        return ended !== undefined;
      });
      if (isOver) return;
      expect(after).toBeLessThan(100);
    }
  });

  test('`delete --force` makes a concurrent `alias set` fail', async () => {
    const forced: Work = (store, { wanted }) => deleteImage(store, wanted, { force: true });
    for (let before = 0; before < 9; before += 1) {
      await inOwnCopy(async (store) => {
        const works = [
          (gated: ObjectStore) => set(gated, images),
          (gated: ObjectStore) => forced(gated, images),
        ] as const;
        const choices = [...Array.from({ length: before }, () => 0), ...Array(60).fill(1)];
        const { outcome } = await runSchedule(store, works, { choices });
        const alias = await readAlias(store, ALIAS);
        // What was set before the delete is what the user has forced.
        expect(outcome[0]?.status === 'fulfilled').toBe(alias?.image_id === images.wanted);
        expect(outcome[1]?.status).toBe('fulfilled');
      });
    }
  });

  test('`alias set` and `delete` in two processes never both exit with 0', async () => {
    const root = await folder();
    const registry = await openRegistry(root);
    await registry.checkAccess();
    for (let round = 0; round < 4; round += 1) {
      const { id } = await publish(registry, { name: `round ${round}` });
      const ran = await Promise.all([
        runCli(['alias', 'set', 'raced', id, '--registry', root]),
        runCli(['delete', id, '--registry', root]),
      ]);
      const [moved, ended] = ran.map(({ exitCode }) => exitCode === 0);
      expect(moved && ended).toBe(false);
      const alias = await registry.resolveAlias('raced');
      if (ended) expect(alias?.image_id).not.toBe(id);
    }
  });
});

describe('in a bucket', () => {
  test('an `alias set` or `delete` that is delayed past the whole other one leaves no alias on a deleted image', async () => {
    const place = await (PLACES[1]?.make() ?? Promise.reject(new Error('no bucket')));
    const registry = await openRegistry(place.url, place.options);
    const { old } = await makeImages(registry);
    const makeAgain = async () => {
      await registry.setAlias(ALIAS, old);
      return { old, wanted: (await publish(registry, { name: 'wanted' })).id };
    };
    const seen = await holdUp([set, remove], (work) => work(place.store), makeAgain);
    expect([...seen].sort()).toEqual(['moved, not ended', 'not moved, ended']);
  });
});

/** Each of both makes some requests, waits until the other is done, and goes on. How they ended. */
async function holdUp(
  [first, second]: readonly [Work, Work],
  withStore: (work: (store: ObjectStore) => Promise<boolean>) => Promise<boolean>,
  make: () => Promise<Images>,
): Promise<Set<string>> {
  const seen = new Set<string>();
  for (const actor of [0, 1]) {
    for (let before = 0, isOver = false; !isOver; before += 1) {
      isOver = await withStore(async (store) => {
        const images = await make();
        const works = [
          (gated: ObjectStore) => first(gated, images),
          (gated: ObjectStore) => second(gated, images),
        ] as const;
        const choices = [...Array(before).fill(actor), ...Array(99).fill(1 - actor)] as number[];
        const { outcome, requests } = await runSchedule(store, works, { choices });
        seen.add(await assertWhole(store, images, outcome));
        return (requests[actor] ?? 0) <= before;
      });
    }
  }
  return seen;
}

async function makeImages(registry: Awaited<ReturnType<typeof openRegistry>>): Promise<Images> {
  const wanted = await publish(registry, { name: 'wanted' });
  // So that prune has something to keep of the name, and a rollback somewhere to go.
  await publish(registry, { name: 'wanted' });
  const old = await publish(registry, { name: 'old' });
  if ((await registry.resolveAlias(ALIAS)) === undefined) await registry.setAlias(ALIAS, wanted.id);
  await registry.setAlias(ALIAS, old.id);
  return { old: old.id, wanted: wanted.id };
}
