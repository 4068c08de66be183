// Finds what a planned volume snapshot would fail with in the pools and in earlier runs; changes nothing.
import { access, constants, statfs } from 'node:fs/promises';
import { dirname } from 'node:path';
import { assertNothingPending } from '../../capture/volumes/assert-nothing-pending.ts';
import type { VolumePlan } from '../../capture/volumes/volume-plan.ts';
import { hasCode, PublishError } from '../../core/errors.ts';
import { formatBytes } from '../../core/format-bytes.ts';
import type { PlanObstacle } from '../../core/model.ts';
import { obstacleOf } from '../snapshot/foresee.ts';
import type { SnapshotSession } from '../snapshot/settings.ts';

/** A new overlay has some 200 KiB of tables, and grows with the first writes of the guest. */
const OVERLAY_BYTES = 1024 ** 2;

/** Returns the obstacles in the order in which a run would meet them. */
export async function foreseeVolumes(
  { settings, domain }: SnapshotSession,
  { volumes }: Pick<VolumePlan, 'volumes'>,
): Promise<PlanObstacle[]> {
  const pending = () => assertNothingPending(settings.config.stateDir, domain);
  const overlays = volumes.flatMap(({ overlay }) => (overlay === null ? [] : [overlay]));
  const folders = overlays.map((path) => dirname(path));
  const found = await obstacleOf(pending);
  for (const folder of new Set(folders)) {
    const count = folders.filter((each) => each === folder).length;
    found.push(...(await obstacleOf(() => assertWritable(folder))));
    found.push(...(await obstacleOf(() => assertRoom(folder, count * OVERLAY_BYTES))));
  }
  return found;
}

/**
 * NOTE: libvirt's daemon makes the overlays, and its rights may exceed those of this user, so only
 * what holds for every user counts.
 */
async function assertWritable(folder: string): Promise<void> {
  try {
    await access(folder, constants.W_OK);
  } catch (cause) {
    if (!hasCode(cause, 'EROFS')) return;
    const message = `no overlay can be created in ${folder}: its file system is read-only`;
    const hint = 'mount it writable, or move the disks to another pool';
    throw new PublishError('VOLUMES', message, { step: 'volumes', cause, hint });
  }
}

async function assertRoom(folder: string, needed: number): Promise<void> {
  const free = await freeBytes(folder);
  if (free === undefined || free >= needed) return;
  const message = `too little free space: overlays need ${formatBytes(needed)} in ${folder}, and ${formatBytes(free)} are free`;
  const hint = 'free some space there; the overlays also take what the guest writes from then on';
  throw new PublishError('NO_SPACE', message, { step: 'space', hint });
}

/** Returns undefined if this user may not read it. */
async function freeBytes(folder: string): Promise<number | undefined> {
  try {
    const { bavail, bsize } = await statfs(folder);
    return bavail * bsize;
  } catch (error) {
    if (hasCode(error, 'EACCES', 'EPERM')) return undefined;
    throw error;
  }
}
