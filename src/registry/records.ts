// Things that change, kept in a store where nothing does: each change is a next version's key.
import { randomUUID } from 'node:crypto';
import { messageOf, PublishError } from '../errors.ts';
import type { CallOptions, ObjectStore } from './object-store.ts';

// NOTE: eight digits, so that the keys of versions sort as their numbers do and the last key of a
// LIST is the newest; a hundred million changes of one image are more than there will be.
const DIGITS = 8;
const UTF_8 = new TextDecoder('utf-8', { fatal: true });
const VERSION_KEY = /^(\d{8})\.json$/;

/** Tries of `readNewest`, when the version it was told of is pruned before it is read. */
const READ_ATTEMPTS = 5;

export function versionKey(folder: string, version: number): string {
  return `${folder}${String(version).padStart(DIGITS, '0')}.json`;
}

/** The version in the last segment of a key; `undefined` where it is none. */
export function versionOf(key: string): number | undefined {
  const digits = VERSION_KEY.exec(key.slice(key.lastIndexOf('/') + 1))?.[1];
  return digits === undefined ? undefined : Number(digits);
}

/** Every version there is below the folder (a key that ends in `/`), oldest first. */
export async function listVersions(
  store: ObjectStore,
  folder: string,
  options: CallOptions = {},
): Promise<number[]> {
  const versions: number[] = [];
  for await (const { key } of store.list(folder, options)) {
    const version = versionOf(key);
    if (version !== undefined && key === versionKey(folder, version)) versions.push(version);
  }
  return versions;
}

export interface Versioned {
  version: number;
  value: unknown;
  /** For messages. */
  key: string;
}

/** The newest version; `undefined` where there is none. @throws REGISTRY where it is no JSON. */
export async function readNewest(
  store: ObjectStore,
  folder: string,
  options: CallOptions = {},
): Promise<Versioned | undefined> {
  for (let attempt = 1; attempt <= READ_ATTEMPTS; attempt += 1) {
    const version = (await listVersions(store, folder, options)).at(-1);
    if (version === undefined) return undefined;
    const found = await readVersion(store, folder, version, options);
    if (found !== undefined) return found;
  }
  const message = `The records in ${folder} of ${store.url} vanish while they are read; try again.`;
  throw new PublishError('REGISTRY', message, { step: 'registry', retryable: true });
}

/** One version; `undefined` where it is not there. @throws REGISTRY where it is no JSON. */
export async function readVersion(
  store: ObjectStore,
  folder: string,
  version: number,
  options: CallOptions = {},
): Promise<Versioned | undefined> {
  const key = versionKey(folder, version);
  const body = await store.read(key, options);
  return body === undefined ? undefined : { version, value: parse(body, key, store.url), key };
}

/**
 * Writes one version. `write_id` makes its bytes this writer's own, by which a lost answer can be
 * told from a lost race (see RetryingStore.create).
 * @throws PRECONDITION_LOST where that version exists.
 */
export async function createVersion(
  store: ObjectStore,
  folder: string,
  version: number,
  value: object,
  options: CallOptions = {},
): Promise<void> {
  const text = JSON.stringify({ ...value, write_id: randomUUID() }, undefined, 2);
  const contentType = 'application/json';
  await store.create(versionKey(folder, version), Buffer.from(`${text}\n`), {
    ...options,
    contentType,
  });
}

function parse(body: Uint8Array, key: string, url: string): unknown {
  try {
    return JSON.parse(UTF_8.decode(body));
  } catch (error) {
    const message = `The record ${key} in ${url} is no JSON: ${messageOf(error)}.`;
    throw new PublishError('REGISTRY', message, { step: 'registry', cause: error });
  }
}
