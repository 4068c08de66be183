// The record of a deleted image whose own record cannot be read. Pure, except the time.
import type { ImageRecord } from './image.ts';
import { newRecord } from './new-image.ts';
import type { UnreadableRecord } from './unreadable.ts';

/** Of the next version: what comes after one that cannot be read is decided as any change is. */
export function tombstoneOf({ id, version, problem }: UnreadableRecord): ImageRecord {
  const status_reason = `its record could not be read: ${problem}`.slice(0, 2000);
  const fields = newRecord({ id, name: 'unreadable', disk_format: 'raw' });
  return { ...fields, version: version + 1, status: 'deleted', status_reason };
}
