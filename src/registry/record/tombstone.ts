// The record of a deleted image whose own record cannot be read. Pure, except the time.
import type { ImageRecord } from './image.ts';
import { newRecord } from './new-image.ts';
import type { UnreadableRecord } from './unreadable.ts';

/** Returns the next version, which is created like any change: one of several writers wins. */
export function tombstoneOf({ id, version, problem }: UnreadableRecord): ImageRecord {
  const status_reason = `its record could not be read: ${problem}`.slice(0, 2000);
  const fields = newRecord({ id, name: 'unreadable', disk_format: 'raw' });
  return { ...fields, version: version + 1, status: 'deleted', status_reason };
}
