// Clones disks by reflink: a clone shares its disk's blocks, so it is fast and takes no space.
import { stat } from 'node:fs/promises';
import { join } from 'node:path';
import { messageOf, PublishError } from '../../core/errors.ts';
import { runStep } from '../../core/events.ts';
import { inTime } from '../../core/time-limit.ts';
import { type LayerMark, layerChanged, markLayer } from '../../domain/chain/layer-mark.ts';
import type { LocalDisk } from '../../domain/choose-disk.ts';
import { detailOf, type InspectedDisk } from '../../domain/inspect.ts';
import { removeScratch } from '../../host/files/scratch-file.ts';
import { cloneFile, requireReflinks } from '../../host/io/reflinks.ts';
import type { CaptureRun, StillDisk } from '../capture-run.ts';

/**
 * Returns why the disks' active layers cannot be cloned into the scratch folder; undefined if it should
 * be possible. Checked while the guest still runs, before its managed save.
 */
export async function obstacleToClone(run: CaptureRun): Promise<string | undefined> {
  for (const { disk } of run.inspection.disks) {
    const obstacle = await obstacleOf(disk, run.folder.scratch);
    if (obstacle !== undefined) return obstacle;
  }
  return undefined;
}

async function obstacleOf(disk: LocalDisk, folder: string): Promise<string | undefined> {
  // NOTE: a reflink ignores QEMU's locks, and another guest may write to a shareable disk.
  if (disk.shareable) return `disk ${disk.target} is shareable`;
  try {
    const [source, scratch] = await Promise.all([stat(disk.source), stat(folder)]);
    if (!source.isFile()) return `${disk.source} is not a regular file`;
    if (source.dev !== scratch.dev)
      return `${disk.source} and the work directory are on two file systems`;
    await requireReflinks(folder);
    return undefined;
  } catch (error) {
    return messageOf(error);
  }
}

/**
 * Clones the active layers of disks that no process writes to. Their backing files are not cloned:
 * they are read by the inspected absolute paths, never by the header of a clone.
 * @returns undefined if it is not possible; no clone is left then
 * @throws PublishError MANAGED_SAVE if it takes too long; the signal's reason
 */
export async function cloneDisks(run: CaptureRun): Promise<StillDisk[] | undefined> {
  const clones: (StillDisk & { isScratch: true })[] = [];
  for (const inspected of run.inspection.disks) {
    const { target, format } = inspected.disk;
    const path = join(run.folder.scratch, `${target}.clone.${format}`);
    const obstacle = await cloneDisk(run, inspected, path);
    clones.push({ ...inspected, path, format, isScratch: true });
    if (obstacle === undefined) continue;
    noteNoClone(run, obstacle);
    for (const clone of clones) await removeScratch(clone);
    return undefined;
  }
  return clones;
}

/**
 * Resolves to the reason if the disk could not be cloned.
 * @throws PublishError INTEGRITY if another file has the disk's name, or the disk was written to
 */
async function cloneDisk(
  run: CaptureRun,
  { disk, facts }: InspectedDisk,
  path: string,
): Promise<string | undefined> {
  const { onEvent, signal } = run;
  const [inspected] = facts.marks;
  return runStep(
    onEvent,
    'clone',
    async () => {
      signal.throwIfAborted();
      const before = await markInTime(run, disk.source);
      if (before.identity !== inspected?.identity) throw layerChanged(disk.source, 'clone');
      const obstacle = await withinTime(run, cloneFile(disk.source, path));
      const after = await markInTime(run, disk.source);
      if (
        obstacle === undefined &&
        (after.identity !== before.identity || after.state !== before.state)
      ) {
        throw layerChanged(disk.source, 'clone');
      }
      return obstacle;
    },
    (why) => (why === undefined ? detailOf(run.inspection, disk) : 'not possible'),
  );
}

function markInTime({ timeouts, signal }: CaptureRun, path: string): Promise<LayerMark> {
  const limits = { timeoutMs: timeouts.cloneMs, signal, late: () => late(timeouts) };
  return inTime(limits, () => markLayer(path));
}

export function noteNoClone({ onEvent }: CaptureRun, obstacle: string): void {
  const message = `no reflink, so the guest waits until its disks are read: ${obstacle}`;
  onEvent({ type: 'note', level: 'debug', step: 'clone', message });
}

/**
 * NOTE: a reflink that hangs in the kernel cannot be ended, nor its file removed before it is done. The
 * guest does not wait for it: it is started, and the clone is removed with the run's folder.
 * @throws PublishError MANAGED_SAVE at the deadline; the signal's reason
 */
async function withinTime(
  { timeouts, signal }: CaptureRun,
  cloning: Promise<void>,
): Promise<string | undefined> {
  const limits = { timeoutMs: timeouts.cloneMs, signal, late: () => late(timeouts) };
  const outcome = await inTime(limits, () => cloning.then(() => undefined, messageOf));
  signal.throwIfAborted();
  return outcome;
}

function late({ cloneMs }: CaptureRun['timeouts']): PublishError {
  return new PublishError(
    'MANAGED_SAVE',
    `the clone of the disk took longer than ${cloneMs / 1000} s, so the guest was started again`,
    {
      step: 'clone',
      retryable: true,
      hint: 'raise timeouts.cloneMs (a fragmented disk takes long), or use --mode live',
    },
  );
}
