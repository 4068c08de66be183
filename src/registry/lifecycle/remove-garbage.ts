// Removes one piece of garbage, after a last look that it still is one.
import { PublishError } from '../../core/errors.ts';
import type { CallOptions } from '../../store/object-info.ts';
import type { ObjectStore } from '../../store/object-store.ts';
import { changeRecord, lookAtRecord } from '../record/image-records.ts';
import { isUnreadable } from '../record/unreadable.ts';
import type { Garbage } from './image-garbage.ts';
import { assertUnused } from './unused-objects.ts';

/** Returns false, with nothing removed, if its image has changed since it was found. */
export async function removeGarbage(
  store: ObjectStore,
  garbage: Garbage,
  options: CallOptions,
): Promise<boolean> {
  const { kind, key, upload_id } = garbage;
  if (kind === 'image') return killDead(store, garbage, options);
  if (!(await isStillSo(store, garbage, options))) return false;
  if (kind === 'upload') await store.resumeUpload(key, upload_id ?? '').abort(options);
  else if (key.startsWith('.uploads/')) await store.removeStray?.(key, options);
  else {
    await assertUnused(store, [key], options);
    await store.remove([key], options);
  }
  return true;
}

/** Returns false if the run of the image has changed its record meanwhile. */
async function killDead(
  store: ObjectStore,
  { image, reason }: Garbage,
  options: CallOptions,
): Promise<boolean> {
  if (image === undefined) return false;
  const found = await lookAtRecord(store, image.id, options);
  if (found === undefined || isUnreadable(found) || found.version !== image.version) return false;
  const status_reason = `left by a run that crashed: ${reason}`;
  try {
    await changeRecord(
      store,
      image.id,
      (record) => ({ ...record, status: 'killed', status_reason }),
      { ...options, expectVersion: image.version },
    );
    return true;
  } catch (error) {
    if (error instanceof PublishError && error.code === 'PRECONDITION_LOST') return false;
    throw error;
  }
}

/** Whether it is still garbage. NOTE: `gc` itself has set an unfinished image to `killed`, one version later. */
async function isStillSo(
  store: ObjectStore,
  { kind, image, key }: Garbage,
  options: CallOptions,
): Promise<boolean> {
  if (kind === 'stray') return true;
  const id = key.split('/')[1] ?? '';
  const record = await lookAtRecord(store, id, options);
  // It is unknown now which objects its image needs.
  if (record !== undefined && isUnreadable(record)) return false;
  if (image === undefined || record === undefined) return record === undefined;
  const isKilledByUs = record.status === 'killed' && record.version === image.version + 1;
  return record.version === image.version || isKilledByUs;
}
