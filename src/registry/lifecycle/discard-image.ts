// The states of an image before it is active, and its end if it never is: killed, with nothing left but its record.
import { PublishError } from '../../core/errors.ts';
import type { CallOptions } from '../../store/object-info.ts';
import type { ObjectStore } from '../../store/object-store.ts';
import type { ImageRecord } from '../record/image.ts';
import {
  changeRecord,
  imageFolder,
  notFound,
  readRecord,
  recordFolder,
} from '../record/image-records.ts';

/** Characters of a `status_reason`. */
const MAX_REASON = 2000;

/** Makes an image `saving`; one that is `saving` already gets no further version. */
export async function saveRecord(
  store: ObjectStore,
  id: string,
  options: CallOptions,
): Promise<ImageRecord> {
  const record = await readRecord(store, id, options);
  if (record === undefined) throw notFound(id, store.url);
  if (record.status === 'saving') return record;
  const expectVersion = record.version;
  const change = (current: ImageRecord): ImageRecord => ({ ...current, status: 'saving' });
  try {
    return await changeRecord(store, id, change, { ...options, expectVersion });
  } catch (error) {
    const isLost = error instanceof PublishError && error.code === 'PRECONDITION_LOST';
    if (isLost) return saveRecord(store, id, options);
    throw error;
  }
}

/** Kills an image; one that is killed already keeps its first reason. */
export async function killRecord(
  store: ObjectStore,
  id: string,
  reason: string,
  options: CallOptions = {},
): Promise<ImageRecord> {
  const record = await readRecord(store, id, options);
  if (record?.status === 'killed') return record;
  const status_reason = reason.slice(0, MAX_REASON);
  return changeRecord(
    store,
    id,
    (current) => ({ ...current, status: 'killed', status_reason }),
    options,
  );
}

/** See Registry.discardImage. The record as it is now; undefined if the image has none. */
export async function discardImage(
  store: ObjectStore,
  id: string,
  reason: string,
  options: CallOptions,
): Promise<ImageRecord | undefined> {
  const found = await readRecord(store, id, options);
  const isOver = found && found.status !== 'queued' && found.status !== 'saving';
  if (isOver && found.status !== 'killed') return found;
  // First, so that no client makes it active while its objects are removed.
  const record = found && (await killRecord(store, id, reason, options));
  for await (const { key, uploadId } of store.listUploads(imageFolder(id), options)) {
    await store.resumeUpload(key, uploadId).abort(options);
  }
  const keys: string[] = [];
  for await (const { key } of store.list(imageFolder(id), options)) {
    if (!key.startsWith(recordFolder(id))) keys.push(key);
  }
  if (keys.length > 0) await store.remove(keys, options);
  return record;
}
