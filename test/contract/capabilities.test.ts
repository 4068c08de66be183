// What a store can do is tried, on a directory and a real S3 server, and nothing is left behind.
import { beforeAll, describe, expect, test } from 'vitest';
import type { Capability } from '#built/store/capabilities/capability.js';
import { probeCapabilities } from '#built/store/capabilities/probe-capabilities.js';
import type { ObjectStore } from '#built/store/object-store.js';
import { PLACES, type Place } from './places.ts';

const supported = (capabilities: readonly Capability[]) =>
  Object.fromEntries(capabilities.map(({ name, supported }) => [name, supported]));

describe.each(PLACES)('$name', ({ name, make }) => {
  let place: Place;
  beforeAll(async () => {
    place = await make();
    await place.store.checkAccess();
  });

  test('the probes find the capabilities of the store, and leave no object', async () => {
    const isBucket = name === 'S3';
    const link = place.store.presign === undefined ? null : true;
    expect(supported(await probeCapabilities(place.store))).toEqual({
      'create-only': true,
      'create-only-parts': true,
      'content-md5': true,
      checksum: isBucket ? true : null,
      'part-copy': isBucket ? true : null,
      presigned: link,
    });
    expect(await place.keys()).toEqual([]);
    expect(await place.openUploads()).toEqual([]);
  });

  test('the probe detects a store that lets two writers of one key win', async () => {
    const swift = forgetful(place.store);
    const [capability] = await probeCapabilities(swift, { only: ['create-only'] });
    expect(capability).toMatchObject({ name: 'create-only', supported: false });
    expect(capability?.detail).toMatch(/^16 of 16 writers of one key/);
    expect(await place.keys()).toEqual([]);
  });

  test('a capability that cannot be probed is reported as unknown', async () => {
    const startUpload = () => Promise.reject(new Error('out of order'));
    const broken = disguised(place.store, { startUpload });
    const found = await probeCapabilities(broken, { only: ['content-md5'] });
    expect(found).toEqual([
      { name: 'content-md5', supported: null, detail: 'could not be tried: out of order' },
    ]);
  });
});

/** The store, answering every create as if it had made the key. */
function forgetful(store: ObjectStore): ObjectStore {
  const create = async (...args: Parameters<ObjectStore['create']>) => {
    await store.create(...args).catch(() => undefined);
  };
  return disguised(store, { create });
}

/** The store with some of its methods replaced. */
function disguised(store: ObjectStore, changes: Partial<ObjectStore>): ObjectStore {
  return new Proxy(store, {
    get: (target, name) => {
      const value = Reflect.get(name in changes ? changes : target, name);
      return typeof value === 'function' ? value.bind(target) : value;
    },
  });
}
