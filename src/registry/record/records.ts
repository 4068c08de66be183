// Versions of a record, in a store whose objects never change: each change creates the next version.
import { randomUUID } from 'node:crypto';
import { messageOf, PublishError } from '../../core/errors.ts';
import type { CallOptions } from '../../store/object-info.ts';
import type { ObjectStore } from '../../store/object-store.ts';
import { usage } from './names.ts';
import { FORMAT_VERSION, formatProblem } from './record-format.ts';
import { lastVersion } from './unreadable.ts';

/**
 * NOTE: eight digits at least, so that the keys of the first hundred million versions sort as their
 * numbers do. Beyond that they have more digits and do not, so the newest is found by its number.
 */
const DIGITS = 8;
const VERSION_KEY = /^(\d{8}|[1-9]\d{8,14})\.json$/;
/** Fifteen digits: every number up to here is exact, and so is its successor. */
export const MAX_VERSION = 999_999_999_999_999;

/**
 * Bytes of one version, written or read. A record holds names, tags, properties and digests, some
 * KiB; a larger object was not written by this program, and is never loaded.
 */
export const MAX_RECORD_BYTES = 1024 * 1024;

const UTF_8 = new TextDecoder('utf-8', { fatal: true });

/** Attempts of `readNewest` whose version is removed between LIST and GET. */
const READ_ATTEMPTS = 5;

export function versionKey(folder: string, version: number): string {
  return `${folder}${String(version).padStart(DIGITS, '0')}.json`;
}

/** The version in the last segment of a key; `undefined` if it is none. */
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
  return versions.sort((a, b) => a - b);
}

/** One version as it was read: its JSON value, or the problem why there is none. */
export type Versioned = { version: number; key: string } & (
  | { value: unknown; body: Uint8Array; problem?: undefined }
  | Problem
);

interface Problem {
  problem: string;
  /** A later version of this program wrote it. */
  isNewer?: boolean;
}

/** The newest version, readable or not; `undefined` if there is none. */
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
  const message = `the records in ${folder} of ${store.url} were removed again and again while they were read`;
  const hint = 'run the command again';
  throw new PublishError('REGISTRY', message, { step: 'registry', retryable: true, hint });
}

/** One version, readable or not; `undefined` if it does not exist. */
export async function readVersion(
  store: ObjectStore,
  folder: string,
  version: number,
  options: CallOptions = {},
): Promise<Versioned | undefined> {
  const key = versionKey(folder, version);
  try {
    const body = await store.read(key, { ...options, maxBytes: MAX_RECORD_BYTES });
    return body === undefined ? undefined : { version, key, ...parseBody(body) };
  } catch (error) {
    if (isTooLarge(error)) return { version, key, problem: tooLarge() };
    throw error;
  }
}

/** Returns the problem of a record that is larger than a record may be. */
export function tooLarge(): string {
  return `it has more than ${MAX_RECORD_BYTES} bytes`;
}

/**
 * Writes one version. `write_id` makes its bytes unique to this writer: it distinguishes a lost
 * answer from a lost race (see RetryingStore.create).
 * @throws PRECONDITION_LOST if that version exists; USAGE if it would be too large to be read;
 * REGISTRY if no reader accepts a version so high: nothing is written then.
 */
export async function createVersion(
  store: ObjectStore,
  folder: string,
  version: number,
  value: object,
  options: CallOptions = {},
): Promise<void> {
  if (version > MAX_VERSION) throw lastVersion(versionKey(folder, MAX_VERSION), store.url);
  const text = JSON.stringify(
    { ...value, format_version: FORMAT_VERSION, write_id: randomUUID() },
    undefined,
    2,
  );
  const body = Buffer.from(`${text}\n`);
  if (body.byteLength > MAX_RECORD_BYTES) {
    throw usage(
      `the record would have ${body.byteLength} bytes, more than the ${MAX_RECORD_BYTES} that it can have`,
      'give the image fewer or shorter properties',
    );
  }
  const contentType = 'application/json';
  await store.create(versionKey(folder, version), body, { ...options, contentType });
}

function parseBody(body: Uint8Array): { value: unknown; body: Uint8Array } | Problem {
  try {
    const parsed = parseText(UTF_8.decode(body));
    return parsed.problem === undefined ? { ...parsed, body } : parsed;
  } catch (error) {
    return notJson(error);
  }
}

/** Returns the JSON value in the text of a version, or the problem why there is none. */
export function parseText(text: string): { value: unknown; problem?: undefined } | Problem {
  try {
    const value = JSON.parse(text) as unknown;
    return formatProblem(value) ?? { value };
  } catch (error) {
    return notJson(error);
  }
}

function notJson(error: unknown): Problem {
  return { problem: `it is no JSON (${messageOf(error)})` };
}

function isTooLarge(error: unknown): boolean {
  return error instanceof PublishError && error.code === 'INTEGRITY' && !error.retryable;
}
