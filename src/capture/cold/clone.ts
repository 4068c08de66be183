// Disks cloned by reflink: a clone shares its disk's blocks, so it is made in no time and takes no space.
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
 * Why the disks' top layers cannot be cloned into the scratch folder; undefined where it should be
 * possible. Tried while the guest still runs, so that nothing is lost where not.
 */
export async function obstacleToClone(run: CaptureRun): Promise<string | undefined> {
  for (const { disk } of run.inspection.disks) {
    const obstacle = await obstacleOf(disk, run.folder.scratch);
    if (obstacle !== undefined) return obstacle;
  }
  return undefined;
}

async function obstacleOf(disk: LocalDisk, folder: string): Promise<string | undefined> {
  // NOTE: a reflink asks for no lock of QEMU's, and another guest may write to a disk like this.
  if (disk.shareable) return `disk ${disk.target} is shareable`;
  try {
    const [source, scratch] = await Promise.all([stat(disk.source), stat(folder)]);
    if (!source.isFile()) return `${disk.source} is no regular file`;
    if (source.dev !== scratch.dev)
      return `${disk.source} and the work directory are on two file systems`;
    await requireReflinks(folder);
    return undefined;
  } catch (error) {
    return messageOf(error);
  }
}

/**
 * Clones the top layers of disks that nobody writes to. Their backing files stay where they are:
 * they are read by the absolute paths that were inspected, never by what a clone's own header says.
 * @returns undefined where it cannot be done after all; nothing is left of it then.
 * @throws PublishError MANAGED_SAVE where it takes too long; the signal's reason.
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
 * Resolves to why it could not be done.
 * @throws PublishError INTEGRITY where another file has the disk's name, or it was written to.
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
  const message = `no reflink, so the guest waits until its disks were read: ${obstacle}`;
  onEvent({ type: 'note', level: 'debug', step: 'clone', message });
}

/**
 * NOTE: nothing can end a reflink that hangs in the kernel, nor remove its file before it is done,
 * but the guest need not wait for it: it is started, and the clone goes with the run's folder.
 * @throws PublishError MANAGED_SAVE when its time is over; the signal's reason.
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
    `the clone of the disk took longer than ${cloneMs / 1000} s, and the guest was started again; a badly fragmented disk takes long: raise timeouts.cloneMs, or use --mode live`,
    { step: 'clone', retryable: true },
  );
}
