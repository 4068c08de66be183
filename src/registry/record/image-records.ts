// The image records of a registry: create, read, change, list.
import { setTimeout as sleep } from 'node:timers/promises';
import { didYouMean } from '../../core/close-names.ts';
import { PublishError } from '../../core/errors.ts';
import type { CallOptions } from '../../store/object-info.ts';
import type { ObjectStore } from '../../store/object-store.ts';
import { IMAGES } from '../catalog/walk-images.ts';
import { assertRecord, examineRecord, keepUnknown } from './check-record.ts';
import { assertTransition, type ImageRecord } from './image.ts';
import { createVersion, readNewest, readVersion, type Versioned, versionOf } from './records.ts';
import { isUnreadable, type UnreadableRecord, unreadableRecord } from './unreadable.ts';

/** Attempts of a change that lose to other clients; more means that one writes without a pause. */
const CHANGE_ATTEMPTS = 50;
const CHANGE_PAUSE_MS = 20;

export function imageFolder(id: string): string {
  return `${IMAGES}${id}/`;
}

export function recordFolder(id: string): string {
  return `${IMAGES}${id}/record/`;
}

/**
 * The newest record of an image; `undefined` if there is no such image.
 * @throws REGISTRY if it cannot be read, see unreadableRecord
 */
export async function readRecord(
  store: ObjectStore,
  id: string,
  options: CallOptions = {},
): Promise<ImageRecord | undefined> {
  const found = await lookAtRecord(store, id, options);
  if (found !== undefined && isUnreadable(found)) throw unreadableRecord(found);
  return found;
}

/** The newest record of an image, readable or not; `undefined` if there is no such image. */
export async function lookAtRecord(
  store: ObjectStore,
  id: string,
  options: CallOptions = {},
): Promise<ImageRecord | UnreadableRecord | undefined> {
  return (await lookAtNewest(store, id, options)).record;
}

/** Returns what `lookAtRecord` returns, and the JSON value that the record was read from. */
async function lookAtNewest(
  store: ObjectStore,
  id: string,
  options: CallOptions,
): Promise<{ record: ImageRecord | UnreadableRecord | undefined; stored?: unknown }> {
  const newest = await readNewest(store, recordFolder(id), options);
  if (newest === undefined) return { record: await lookForUnknown(store, id, options) };
  const stored = newest.problem === undefined ? newest.value : undefined;
  return { record: recordIn(newest, id), stored };
}

/** Looks for objects in the record's folder that are no version: a later program may have written them. */
async function lookForUnknown(
  store: ObjectStore,
  id: string,
  options: CallOptions,
): Promise<UnreadableRecord | undefined> {
  const problem = 'it is no version that this program knows';
  for await (const { key } of store.list(recordFolder(id), options))
    if (versionOf(key) === undefined) return { id, version: 0, key, problem };
  return undefined;
}

/**
 * Returns one version of an image's record, readable or not, with the stored bytes if it is JSON;
 * `undefined` if it does not exist.
 */
export async function lookAtVersion(
  store: ObjectStore,
  id: string,
  version: number,
  options: CallOptions = {},
): Promise<{ record: ImageRecord | UnreadableRecord; body?: Uint8Array } | undefined> {
  const found = await readVersion(store, recordFolder(id), version, options);
  if (found === undefined) return undefined;
  const record = recordIn(found, id);
  return found.problem === undefined ? { record, body: found.body } : { record };
}

export interface ChangeOptions extends CallOptions {
  /** Only if the record still is this version; lost otherwise, instead of retried. */
  expectVersion?: number | undefined;
}

/**
 * Writes the next version of a record. If another client's came first, the change is made again,
 * on that one. Fields of the stored version that this program does not know stay.
 * @throws IMAGE_NOT_FOUND, IMAGE_STATUS (the transition is refused), USAGE (the record would be
 * wrong), PRECONDITION_LOST.
 */
export async function changeRecord(
  store: ObjectStore,
  id: string,
  change: (record: ImageRecord) => ImageRecord,
  options: ChangeOptions = {},
): Promise<ImageRecord> {
  for (let attempt = 1; ; attempt += 1) {
    const { current, stored } = await currentRecord(store, id, options);
    const next = nextRecord(current, change(structuredClone(current)));
    try {
      const kept = keepUnknown(next, stored);
      await createVersion(store, recordFolder(id), next.version, kept, options);
      return next;
    } catch (error) {
      const lost = error instanceof PublishError && error.code === 'PRECONDITION_LOST';
      if (!lost) throw error;
      if (options.expectVersion !== undefined || attempt === CHANGE_ATTEMPTS) {
        throw lostRace(id, current.version, error);
      }
    }
    await pause(attempt, options.signal);
  }
}

/** @throws IMAGE_NOT_FOUND, IMAGE_STATUS unless the image is one that an alias may point to. */
export async function assertActive(
  store: ObjectStore,
  id: string,
  options: CallOptions = {},
): Promise<void> {
  const record = await readRecord(store, id, options);
  if (record === undefined) throw notFound(id, store.url);
  if (record.status === 'active') return;
  const message = `image ${id} is ${record.status}; an alias points to active images only`;
  throw new PublishError('IMAGE_STATUS', message, { step: 'alias' });
}

async function currentRecord(
  store: ObjectStore,
  id: string,
  options: ChangeOptions,
): Promise<{ current: ImageRecord; stored: unknown }> {
  const { record: current, stored } = await lookAtNewest(store, id, options);
  if (current === undefined) throw notFound(id, store.url);
  if (isUnreadable(current)) throw unreadableRecord(current);
  const { expectVersion } = options;
  if (expectVersion !== undefined && current.version !== expectVersion) {
    throw lostRace(id, expectVersion);
  }
  return { current, stored };
}

/** Keeps id, version and creation time: callers cannot change them. */
function nextRecord(current: ImageRecord, changed: ImageRecord): ImageRecord {
  if (changed.status !== current.status || current.status === 'deleted') {
    assertTransition(current.id, current.status, changed.status);
  }
  return assertRecord({
    ...changed,
    id: current.id,
    version: current.version + 1,
    created_at: current.created_at,
    updated_at: new Date().toISOString(),
  });
}

/** Returns the record that was read, or its problem; compares id and version with its key. */
function recordIn(read: Versioned, id: string): ImageRecord | UnreadableRecord {
  const { key, version } = read;
  if (read.problem !== undefined) {
    const { problem, isNewer } = read;
    return { id, version, key, problem, ...(isNewer ? { isNewer } : {}) };
  }
  const examined = examineRecord(read.value);
  if (examined.problem !== undefined) return { id, version, key, problem: examined.problem };
  const { record } = examined;
  if (record.id === id && record.version === version) return record;
  const problem = `it says that it is version ${record.version} of image ${record.id}`;
  return { id, version, key, problem };
}

/** `near`: names that the reference may be meant for. */
export function notFound(ref: string, url: string, near: readonly string[] = []): PublishError {
  const hint = didYouMean(near) ?? 'list the images with: virt-publish list';
  const message = `there is no image ${JSON.stringify(ref)} in ${url}`;
  return new PublishError('IMAGE_NOT_FOUND', message, { step: 'registry', hint });
}

function lostRace(id: string, version: number, cause?: unknown): PublishError {
  const message = `image ${id} is no longer at version ${version}`;
  const hint = `look at it again (virt-publish show ${id}) and repeat the change if it is still right`;
  return new PublishError('PRECONDITION_LOST', message, { step: 'registry', cause, hint });
}

async function pause(attempt: number, signal: AbortSignal | undefined): Promise<void> {
  const ms = Math.random() * CHANGE_PAUSE_MS * Math.min(attempt, 10);
  // The next request throws the error of a signal, as a PublishError.
  await sleep(ms, undefined, { signal }).catch(() => undefined);
}
