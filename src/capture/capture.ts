// Provides still disks while they are used, and restores the guest in any case.
import type { GuardOptions } from '../run/guard/guard.ts';
import { underGuard } from '../run/under-guard.ts';
import type { CaptureRun, UseStillDisks } from './capture-run.ts';
import { captureCold, captureOffline } from './cold/cold.ts';
import { captureExisting } from './existing/existing.ts';
import { captureLive } from './live/live.ts';

/**
 * Captures by the plan's mode and passes the still disks to `use`. The guest is restored when this
 * settles.
 * @throws PublishError the errors of the mode; GUEST_NOT_RESTORED with the first error as cause.
 */
export async function capture<T>(run: CaptureRun, use: UseStillDisks<T>): Promise<T> {
  switch (run.plan.mode) {
    case 'live':
      return use(await restoring(run, () => captureLive(run)));
    case 'cold': {
      const captured = await restoring(run, () => captureCold(run, use));
      return 'clones' in captured ? use(captured.clones) : captured.result;
    }
    case 'offline':
      return captureOffline(run, use);
    case 'existing':
      return captureExisting(run, use);
  }
}

const GUARD_SLACK_MS = 2000;

async function restoring<T>(run: CaptureRun, work: () => Promise<T>): Promise<T> {
  const { guard, journal, scope, onEvent } = run;
  const options = guardOptions(run);
  return underGuard({ name: run.inspection.name, guard, options, journal, scope, onEvent }, work);
}

function guardOptions({
  folder,
  timeouts,
  inspection,
  freezeLimitMs: freezeMs,
}: CaptureRun): GuardOptions {
  const { mirrorMs, managedSaveMs, cloneMs, convertMs } = timeouts;
  // The guard's deadlines come after those of this process, for the case that this process hangs.
  const readMs = inspection.disks.length * (cloneMs + convertMs);
  const guestMs = Math.max(mirrorMs, managedSaveMs + readMs) + 2 * freezeMs;
  return { runPath: folder.path, freezeMs: 2 * freezeMs + GUARD_SLACK_MS, guestMs };
}
