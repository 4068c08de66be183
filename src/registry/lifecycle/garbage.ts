// Finds objects that no record owns any more, by their age on the store's own clock. Live work is never garbage.
import { randomUUID } from 'node:crypto';
import { PublishError } from '../../core/errors.ts';
import { mayRemove } from '../../store/capabilities/probe-capabilities.ts';
import type { CallOptions, ObjectInfo } from '../../store/object-info.ts';
import { PROBES } from '../../store/object-key.ts';
import type { ObjectStore, OpenUpload } from '../../store/object-store.ts';
import { findCheckpoints } from '../catalog/checkpoint-files.ts';
import { refreshCheckpoint } from '../catalog/list-records.ts';
import { IMAGES } from '../catalog/walk-images.ts';
import { isImageId } from '../record/names.ts';
import { isUnreadable, type OnUnreadable, unreadableRecord } from '../record/unreadable.ts';
import type { Garbage } from './image-garbage.ts';
import { imageGarbage, type Leftovers } from './image-garbage.ts';
import { removeGarbage } from './remove-garbage.ts';

export interface GarbageOptions extends CallOptions {
  /** Minimum time since the last change. */
  olderThanMs: number;
  /** Removes what is found, right after it is yielded; otherwise nothing is changed. */
  remove?: boolean | undefined;
  /** The store for the next catalog checkpoint, which is written before older ones are removed. */
  checkpoints?: ObjectStore | undefined;
  /**
   * Called for each image whose record cannot be read (nothing of it is garbage) and each object
   * that a guest uses. By default the error is thrown.
   */
  onUnreadable?: OnUnreadable | undefined;
}

/** Yields garbage image by image, each piece after it was removed if `remove` is set. */
export async function* collectGarbage(
  store: ObjectStore,
  { olderThanMs, remove = false, checkpoints, onUnreadable, signal }: GarbageOptions,
): AsyncGenerator<Garbage> {
  const cutoff = (await storeTime(store, { signal })) - olderThanMs;
  const clean = async function* (found: AsyncIterable<Garbage>) {
    for await (const garbage of found) {
      try {
        if (!remove || (await removeGarbage(store, garbage, { signal }))) yield garbage;
      } catch (error) {
        const isUsed = error instanceof PublishError && error.code === 'IMAGE_STATUS';
        if (!isUsed || onUnreadable === undefined) throw error;
        onUnreadable(error);
      }
    }
  };
  yield* clean(findGarbage(store, cutoff, { onUnreadable, signal }));
  if (remove && checkpoints !== undefined) await refreshCheckpoint(store, checkpoints, { signal });
  yield* clean(findStrays(store, cutoff, { signal }));
}

async function* findGarbage(
  store: ObjectStore,
  cutoff: number,
  { onUnreadable, ...options }: Pick<GarbageOptions, 'signal' | 'onUnreadable'>,
): AsyncGenerator<Garbage> {
  const uploads = await uploadsByImage(store, options);
  for await (const leftovers of imagesWithUploads(store, uploads, options)) {
    const garbage = await imageGarbage(store, leftovers, cutoff, options);
    if (!isUnreadable(garbage)) yield* garbage;
    else if (onUnreadable === undefined) throw unreadableRecord(garbage);
    else onUnreadable(unreadableRecord(garbage));
  }
}

/** Leftovers beside the images. */
async function* findStrays(
  store: ObjectStore,
  cutoff: number,
  options: CallOptions,
): AsyncGenerator<Garbage> {
  for (const checkpoint of (await findCheckpoints(store, options)).slice(0, -1))
    if (isOld(checkpoint, cutoff)) yield stray(checkpoint, 'a newer catalog checkpoint exists');
  for await (const object of store.list(PROBES, options))
    if (isOld(object, cutoff)) yield stray(object, 'left by a probe');
  for await (const file of store.listStrays?.(options) ?? [])
    if (isOld(file, cutoff)) yield stray(file, 'an incomplete file');
}

/** The images there are, and then those that only uploads know of. */
async function* imagesWithUploads(
  store: ObjectStore,
  uploads: Map<string, OpenUpload[]>,
  options: CallOptions,
): AsyncGenerator<Leftovers> {
  let current: { id: string; objects: ObjectInfo[] } | undefined;
  const take = ({ id, objects }: { id: string; objects: ObjectInfo[] }): Leftovers => {
    const open = uploads.get(id) ?? [];
    uploads.delete(id);
    return { id, objects, uploads: open };
  };
  for await (const object of store.list(IMAGES, options)) {
    const id = idOf(object.key);
    if (id === undefined) continue;
    if (current !== undefined && current.id === id) current.objects.push(object);
    else {
      if (current !== undefined) yield take(current);
      current = { id, objects: [object] };
    }
  }
  if (current !== undefined) yield take(current);
  for (const [id, open] of uploads) yield { id, objects: [], uploads: open };
}

async function uploadsByImage(
  store: ObjectStore,
  options: CallOptions,
): Promise<Map<string, OpenUpload[]>> {
  const uploads = new Map<string, OpenUpload[]>();
  for await (const upload of store.listUploads(IMAGES, options)) {
    const id = idOf(upload.key);
    if (id !== undefined) uploads.set(id, [...(uploads.get(id) ?? []), upload]);
  }
  return uploads;
}

function idOf(key: string): string | undefined {
  const [, id = '', name] = key.split('/');
  return name !== undefined && isImageId(id) ? id : undefined;
}

// NOTE: ages are taken on the clock of the store, which made the times: with a clock of this host
// that runs a day fast, every live upload would look dead.
async function storeTime(store: ObjectStore, options: CallOptions): Promise<number> {
  const key = `${PROBES}${randomUUID()}/now`;
  if (!(await mayRemove(store, key, options)))
    return (await store.serverTime?.(options))?.getTime() ?? Date.now();
  await store.create(key, Buffer.from('now'), options);
  try {
    return (await store.stat(key, options))?.lastModified?.getTime() ?? Date.now();
  } finally {
    await store.remove([key]);
  }
}

function isOld({ lastModified }: ObjectInfo, cutoff: number): boolean {
  return lastModified !== null && lastModified.getTime() < cutoff;
}

function stray({ key, size, lastModified }: ObjectInfo, reason: string): Garbage {
  return { kind: 'stray', key, size, touched_at: lastModified?.toISOString() ?? null, reason };
}
