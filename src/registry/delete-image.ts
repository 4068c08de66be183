// The end of an image: its record says so first, then everything but that record goes.
import { PublishError } from '../errors.ts';
import { listAliasRecords } from './aliases.ts';
import { findImage } from './find-image.ts';
import type { ImageRecord } from './image.ts';
import { changeRecord, imageFolder, readRecord, recordFolder } from './image-records.ts';
import { isImageId } from './names.ts';
import type { CallOptions, ObjectStore } from './object-store.ts';
import { versionKey } from './records.ts';
import type { DeleteOptions } from './registry-types.ts';

/** See Registry.deleteImage. */
export async function deleteImage(
  store: ObjectStore,
  ref: string,
  { force = false, signal }: DeleteOptions,
): Promise<ImageRecord> {
  const options = { signal };
  const found = await findEvenDeleted(store, ref, options);
  if (found.status !== 'deleted' && !force) await refuseAliased(store, found.id, options);
  const deleted = found.status === 'deleted' ? found : await markDeleted(store, found.id, options);
  await removeObjects(store, deleted, options);
  return deleted;
}

async function findEvenDeleted(
  store: ObjectStore,
  ref: string,
  options: CallOptions,
): Promise<ImageRecord> {
  const record = isImageId(ref) ? await readRecord(store, ref, options) : undefined;
  return record?.status === 'deleted' ? record : findImage(store, ref, options);
}

async function refuseAliased(store: ObjectStore, id: string, options: CallOptions): Promise<void> {
  for await (const { alias, image_id } of listAliasRecords(store, options)) {
    if (image_id !== id) continue;
    const message = `Image ${id} is what alias ${alias} points to; move the alias, or force it.`;
    throw new PublishError('IMAGE_STATUS', message, { step: 'registry' });
  }
}

/** Protection is looked at in the very record that is replaced: it cannot come in between. */
function markDeleted(store: ObjectStore, id: string, options: CallOptions): Promise<ImageRecord> {
  const change = (record: ImageRecord): ImageRecord => {
    if (!record.protected) return { ...record, status: 'deleted' };
    const message = `Image ${id} is protected; take its protection away before deleting it.`;
    throw new PublishError('IMAGE_STATUS', message, { step: 'registry' });
  };
  return changeRecord(store, id, change, options);
}

async function removeObjects(
  store: ObjectStore,
  { id, version }: ImageRecord,
  options: CallOptions,
): Promise<void> {
  const records = recordFolder(id);
  const keep = versionKey(records, version);
  const keys: string[] = [];
  for await (const { key } of store.list(imageFolder(id), options)) {
    if (key !== keep) keys.push(key);
  }
  const isRecord = (key: string) => key.startsWith(records);
  await store.remove(
    keys.filter((key) => !isRecord(key)),
    options,
  );
  await store.remove(keys.filter(isRecord), options);
}
