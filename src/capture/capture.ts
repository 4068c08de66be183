// Makes a disk hold still for as long as it is used, and puts the guest back whatever happens.
import { PublishError } from '../errors.ts';
import { runStep } from '../events.ts';
import type { Guard, GuardOptions } from '../run/guard.ts';
import type { UndoFailure } from '../run/guest-scope.ts';
import type { CaptureRun, UseStillDisk } from './capture-run.ts';
import { captureCold, captureOffline } from './cold.ts';
import { captureLive } from './live.ts';

/**
 * Captures as planned and hands the still disk to `use`. The guest is whole again when this
 * settles, either way.
 * @throws PublishError what the path throws; GUEST_NOT_RESTORED with the first error as cause.
 */
export async function capture<T>(run: CaptureRun, use: UseStillDisk<T>): Promise<T> {
  switch (run.plan.mode) {
    case 'live':
      return use(await restoring(run, () => captureLive(run)));
    case 'cold': {
      const captured = await restoring(run, () => captureCold(run, use));
      return 'clone' in captured ? use(captured.clone) : captured.result;
    }
    case 'offline':
      return captureOffline(run, use);
  }
}

const GUARD_SLACK_MS = 2000;

/** The guard is there from before the first act until the guest is whole. */
async function restoring<T>(run: CaptureRun, work: () => Promise<T>): Promise<T> {
  const onLost = (message: string) =>
    run.onEvent({ type: 'note', level: 'warning', step: 'restore', message });
  const guard = await run.guard.watch(run.journal, guardOptions(run), onLost);
  let result: T;
  try {
    result = await work();
  } catch (error) {
    await restoreOrAbandon(run, guard, error);
    throw error;
  }
  await restoreOrAbandon(run, guard, undefined);
  return result;
}

function guardOptions({ folder, timeouts }: CaptureRun): GuardOptions {
  const { freezeMs, mirrorMs, managedSaveMs, cloneMs, convertMs } = timeouts;
  // This process keeps its own deadlines; the guard's come after them, for when it cannot.
  const guestMs = Math.max(mirrorMs, managedSaveMs + cloneMs + convertMs) + 2 * freezeMs;
  return { runPath: folder.path, freezeMs: 2 * freezeMs + GUARD_SLACK_MS, guestMs };
}

/** What this process cannot put back, the guard goes on trying to. */
async function restoreOrAbandon(run: CaptureRun, guard: Guard, cause: unknown): Promise<void> {
  try {
    await restore(run, cause);
  } catch (error) {
    guard.abandon();
    throw error;
  }
  await guard.release();
}

async function restore(run: CaptureRun, cause: unknown): Promise<void> {
  if (!run.scope.isPending) return;
  await runStep(run.onEvent, 'restore', async () => {
    const failures = await run.scope.restore();
    if (failures.length > 0) throw notRestored(run, failures, cause);
  });
}

function notRestored(
  { inspection }: CaptureRun,
  undoFailures: readonly UndoFailure[],
  cause: unknown,
): PublishError {
  const mend = undoFailures.map((failure) => failure.mend).join(' && ');
  const what = undoFailures.map(({ message }) => message).join('; ');
  return new PublishError(
    'GUEST_NOT_RESTORED',
    `domain ${inspection.name} could not be put back as it was: ${what}`,
    { step: 'restore', cause, undoFailures, mend },
  );
}
