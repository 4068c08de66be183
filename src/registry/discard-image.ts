// The end of an image that was never active: killed, with nothing left but its record.
import type { ImageRecord } from './image.ts';
import { imageFolder, killRecord, readRecord, recordFolder } from './image-records.ts';
import type { CallOptions, ObjectStore } from './object-store.ts';

/** See Registry.discardImage. The record as it is now; undefined where the image has none. */
export async function discardImage(
  store: ObjectStore,
  id: string,
  reason: string,
  options: CallOptions,
): Promise<ImageRecord | undefined> {
  const found = await readRecord(store, id, options);
  const isOver = found && found.status !== 'queued' && found.status !== 'saving';
  if (isOver && found.status !== 'killed') return found;
  // First, so that nobody makes it active while its objects go.
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
