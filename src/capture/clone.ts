// A disk cloned by reflink: the clone shares the disk's blocks, so it is made in no time and takes no space.
import { constants } from 'node:fs';
import { copyFile, rm, stat, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { messageOf, PublishError } from '../errors.ts';
import { runStep } from '../events.ts';
import type { CaptureRun, StillDisk } from './capture-run.ts';

const { COPYFILE_EXCL, COPYFILE_FICLONE_FORCE } = constants;

/**
 * Why the disk's top layer cannot be cloned into the scratch folder; undefined where it should be
 * possible. Tried on empty files while the guest still runs, so that nothing is lost where not.
 */
export async function obstacleToClone({
  inspection,
  folder,
}: CaptureRun): Promise<string | undefined> {
  const { disk } = inspection;
  // NOTE: a reflink asks for no lock of QEMU's, and another guest may write to a disk like this.
  if (disk.shareable) return `disk ${disk.target} is shareable`;
  const probe = join(folder.scratch, 'probe');
  try {
    const [source, scratch] = await Promise.all([stat(disk.source), stat(folder.scratch)]);
    if (!source.isFile()) return `${disk.source} is no regular file`;
    if (source.dev !== scratch.dev)
      return `${disk.source} and the work directory are on two file systems`;
    await writeFile(probe, '', { flag: 'wx' });
    await copyFile(probe, `${probe}.clone`, COPYFILE_FICLONE_FORCE | COPYFILE_EXCL);
    return undefined;
  } catch (error) {
    return messageOf(error);
  } finally {
    await Promise.all([probe, `${probe}.clone`].map((path) => rm(path, { force: true })));
  }
}

/**
 * Clones the top layer of a disk that nobody writes to. Its backing files stay where they are: they
 * are read by the absolute paths that were inspected, never by what the clone's own header says.
 * @returns undefined where it cannot be done after all; nothing is left of it then.
 * @throws PublishError MANAGED_SAVE where it takes too long; the signal's reason.
 */
export async function cloneDisk(run: CaptureRun): Promise<StillDisk | undefined> {
  const { inspection, folder, onEvent, signal } = run;
  const { disk } = inspection;
  const path = join(folder.scratch, `clone.${disk.format}`);
  const obstacle = await runStep(
    onEvent,
    'clone',
    async () => {
      signal.throwIfAborted();
      return withinTime(run, copyFile(disk.source, path, COPYFILE_FICLONE_FORCE | COPYFILE_EXCL));
    },
    (why) => (why === undefined ? undefined : 'not possible'),
  );
  if (obstacle === undefined) {
    return { path, format: disk.format, consistency: 'crash', freezeMs: null, ours: true };
  }
  noteNoClone(run, obstacle);
  await rm(path, { force: true });
  return undefined;
}

export function noteNoClone({ onEvent }: CaptureRun, obstacle: string): void {
  const message = `no reflink, so the guest waits until its disk was read: ${obstacle}`;
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
  const stop = AbortSignal.any([signal, AbortSignal.timeout(timeouts.cloneMs)]);
  const stopped = new Promise<never>((_resolve, reject) => {
    stop.addEventListener('abort', () => reject(signal.aborted ? signal.reason : late(timeouts)), {
      once: true,
    });
  });
  const outcome = await Promise.race([cloning.then(() => undefined, messageOf), stopped]);
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
