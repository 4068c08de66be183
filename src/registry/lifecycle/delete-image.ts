// Deletes an image: first its record becomes `deleted`, then everything except that record is removed.
// More than 200 lines: one deletion, whose steps and their undo are read together.
import { messageOf, PublishError } from '../../core/errors.ts';
import type { CallOptions } from '../../store/object-info.ts';
import type { ObjectStore } from '../../store/object-store.ts';
import { fenceClaims } from '../aliases/alias-claims.ts';
import { listAliasRecords } from '../aliases/aliases.ts';
import { findImage } from '../catalog/find-image.ts';
import type { ImageRecord } from '../record/image.ts';
import { deactivated, reactivated } from '../record/image-changes.ts';
import {
  changeRecord,
  imageFolder,
  lookAtRecord,
  notFound,
  readRecord,
  recordFolder,
} from '../record/image-records.ts';
import { isImageId } from '../record/names.ts';
import { createVersion, MAX_VERSION, versionKey } from '../record/records.ts';
import { tombstoneOf } from '../record/tombstone.ts';
import { isUnreadable, unreadableRecord } from '../record/unreadable.ts';
import type { DeleteOptions } from '../registry-types.ts';
import { assertImageUnused, assertUnused } from './unused-objects.ts';

/** The reason of an image that is deactivated while `delete` checks whether it may go. */
const DELETING = 'it is being deleted';
/** Attempts of a deletion during which other clients change the image. */
const ATTEMPTS = 20;

/** See Registry.deleteImage. */
export async function deleteImage(
  store: ObjectStore,
  ref: string,
  { force = false, onUnreadable, signal }: DeleteOptions,
): Promise<ImageRecord> {
  const options = { signal };
  const found = isImageId(ref) ? await lookAtRecord(store, ref, options) : undefined;
  if (found !== undefined && isUnreadable(found)) {
    if (!force) throw unreadableRecord(found);
    await assertImageUnused(store, ref, options);
    return removeUnreadable(store, tombstoneOf(found), options);
  }
  if (found?.status === 'deleted') return removeAll(store, found, options);
  const image = found ?? (await findImage(store, ref, { ...options, onUnreadable }));
  await assertImageUnused(store, image.id, options);
  if (image.version >= MAX_VERSION && force) return removeEvenRecords(store, image, options);
  return removeAll(store, await endImage(store, image.id, { force, signal }), options);
}

async function removeUnreadable(
  store: ObjectStore,
  tombstone: ImageRecord,
  options: CallOptions,
): Promise<ImageRecord> {
  const { id, version } = tombstone;
  if (version > MAX_VERSION) return removeEvenRecords(store, tombstone, options);
  await createVersion(store, recordFolder(id), version, tombstone, options);
  return removeAll(store, tombstone, options);
}

/**
 * Makes the record `deleted`, once no alias points to the image and none can be moved to it any more
 * (see alias-claims.ts). If that fails, the image is as it was.
 */
async function endImage(
  store: ObjectStore,
  id: string,
  { force, signal }: { force: boolean } & CallOptions,
): Promise<ImageRecord> {
  const options = { signal };
  try {
    for (let attempt = 1; ; attempt += 1) {
      if (!force) await assertNoAlias(store, id, options);
      const ended = await tryToEnd(store, id, { force, signal });
      if (ended !== undefined) return ended;
      if (attempt === ATTEMPTS) throw changing(id);
    }
  } catch (error) {
    throw await reactivateAfter(store, id, error);
  }
}

/** Undefined if the image was changed meanwhile. */
async function tryToEnd(
  store: ObjectStore,
  id: string,
  { force, signal }: { force: boolean } & CallOptions,
): Promise<ImageRecord | undefined> {
  const options = { signal };
  try {
    const current = await withoutReaders(store, id, options);
    if (current.status === 'deleted') return current;
    await fenceClaims(store, id, options);
    if (!force) await assertNoAlias(store, id, options);
    const change = (record: ImageRecord): ImageRecord => ({ ...record, status: 'deleted' });
    return await changeRecord(store, id, change, { ...options, expectVersion: current.version });
  } catch (error) {
    if (error instanceof PublishError && error.code === 'PRECONDITION_LOST') return undefined;
    throw error;
  }
}

/** Checks protection in the record that is replaced, so a concurrent protection cannot be missed. */
async function withoutReaders(
  store: ObjectStore,
  id: string,
  options: CallOptions,
): Promise<ImageRecord> {
  const record = await readRecord(store, id, options);
  if (record === undefined) throw notFound(id, store.url);
  assertNotProtected(record);
  if (record.status !== 'active') return record;
  const expectVersion = record.version;
  const change = (current: ImageRecord) => deactivated(current, DELETING);
  return changeRecord(store, id, change, { ...options, expectVersion });
}

function assertNotProtected({ id, protected: isProtected }: ImageRecord): void {
  if (!isProtected) return;
  const hint = `remove the protection first: virt-publish update ${id} --unprotected`;
  throw new PublishError('IMAGE_STATUS', `image ${id} is protected`, { step: 'registry', hint });
}

/** Makes an image that was not deleted active again; returns the error to throw. */
async function reactivateAfter(store: ObjectStore, id: string, error: unknown): Promise<unknown> {
  try {
    const record = await lookAtRecord(store, id);
    if (record === undefined || isUnreadable(record)) return error;
    if (record.status !== 'deactivated' || record.status_reason !== DELETING) return error;
    await changeRecord(store, id, reactivated, { expectVersion: record.version });
    return error;
  } catch (failure) {
    if (!(error instanceof PublishError)) return error;
    const { code, step = 'registry', retryable } = error;
    const message = `${error.message}; image ${id} may stay deactivated (${messageOf(failure)})`;
    const hint = `delete it again, or run: virt-publish reactivate ${id}`;
    return new PublishError(code, message, { step, retryable, cause: error, hint });
  }
}

/** An alias that cannot be read may point to the image. */
async function assertNoAlias(store: ObjectStore, id: string, options: CallOptions): Promise<void> {
  const onUnreadable = (unreadable: PublishError) => {
    const message = `image ${id} is not deleted, since ${unreadable.message}`;
    const options = {
      step: 'registry',
      cause: unreadable,
      hint: 'repair that alias, or add --force',
    } as const;
    throw new PublishError('IMAGE_STATUS', message, options);
  };
  for await (const { alias, image_id } of listAliasRecords(store, { ...options, onUnreadable })) {
    if (image_id !== id) continue;
    const message = `alias ${alias} points to image ${id}`;
    const hint = `move it (virt-publish alias set ${alias} IMAGE), or delete the image with --force`;
    throw new PublishError('IMAGE_STATUS', message, { step: 'registry', hint });
  }
}

/** Removes everything except the record with status `deleted`. */
async function removeAll(
  store: ObjectStore,
  deleted: ImageRecord,
  options: CallOptions,
): Promise<ImageRecord> {
  const { id } = deleted;
  const keep = versionKey(recordFolder(id), deleted.version);
  try {
    await removeObjects(store, id, (key) => key !== keep, options);
    return deleted;
  } catch (error) {
    if (!(error instanceof PublishError) || error.code === 'INTERRUPTED') throw error;
    const { code, step = 'registry', retryable } = error;
    const message = `image ${id} is deleted, and objects of it remain: ${error.message}`;
    const hint = `with credentials that may delete, run: virt-publish delete ${id}, or virt-publish gc --delete`;
    throw new PublishError(code, message, { step, retryable, cause: error, hint });
  }
}

/** NOTE: no version can follow with status `deleted`, so all records are removed and the id becomes free. */
async function removeEvenRecords(
  store: ObjectStore,
  record: ImageRecord,
  options: CallOptions,
): Promise<ImageRecord> {
  assertNotProtected(record);
  await removeObjects(store, record.id, () => true, options);
  return { ...record, status: 'deleted' };
}

async function removeObjects(
  store: ObjectStore,
  id: string,
  isMeant: (key: string) => boolean,
  options: CallOptions,
): Promise<void> {
  const keys: string[] = [];
  for await (const { key } of store.list(imageFolder(id), options))
    if (isMeant(key)) keys.push(key);
  const isRecord = (key: string) => key.startsWith(recordFolder(id));
  const data = keys.filter((key) => !isRecord(key));
  // A guest may have been started on them since the record was changed.
  await assertUnused(store, data, options);
  await store.remove(data, options);
  await store.remove(keys.filter(isRecord), options);
}

function changing(id: string): PublishError {
  const message = `image ${id} was changed by other clients at each attempt`;
  const hint = 'run the command again later';
  return new PublishError('PRECONDITION_LOST', message, { step: 'registry', hint });
}
