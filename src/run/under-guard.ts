// Runs the acts on a guest under a guard: started before the first act, released after the last undo.
import { messageOf, PublishError } from '../core/errors.ts';
import { type OnEvent, runStep } from '../core/events.ts';
import type { GuestContext } from './acts/guest-context.ts';
import type { Guard, GuardOptions, SpareGuard } from './guard/guard.ts';
import { keepJournal } from './guard/keep-run.ts';
import type { GuestScope, UndoFailure } from './guest-scope.ts';
import { type Journal, PARKED_POINT } from './journal/journal.ts';
import { whileGuestIsChanged } from './lock/changed-guests.ts';

/** How long the agent of a guest that was reset is waited for. */
const GUEST_BACK_MS = 120_000;

export interface GuardedWork {
  /** Name of the domain. */
  name: string;
  guard: SpareGuard;
  options: GuardOptions;
  journal: Journal;
  scope: GuestScope<GuestContext>;
  onEvent: OnEvent;
}

/**
 * Runs `work` under the guard. When this settles, the guest is restored, or the guard continues.
 * @throws PublishError what `work` throws; GUEST_NOT_RESTORED with the first error as cause.
 */
export function underGuard<T>(run: GuardedWork, work: () => Promise<T>): Promise<T> {
  return whileGuestIsChanged(() => guarded(run, work));
}

async function guarded<T>(run: GuardedWork, work: () => Promise<T>): Promise<T> {
  const onLost = (message: string) =>
    run.onEvent({ type: 'note', level: 'warning', step: 'restore', message });
  const guard = await run.guard.watch(run.journal, run.options, onLost);
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

/** Restores the guest. What this process cannot undo, the guard keeps retrying. */
async function restoreOrAbandon(run: GuardedWork, guard: Guard, cause: unknown): Promise<void> {
  let parked: readonly UndoFailure[];
  try {
    parked = await restore(run, cause);
  } catch (error) {
    await keepForRecover(run);
    guard.handOver();
    throw error;
  }
  if (parked.length > 0) await leaveToGuard(run, guard, parked);
  else await guard.release();
}

/** Writes the journal again if the run's folder was removed: recover needs it. */
async function keepForRecover({ options, journal, scope, onEvent }: GuardedWork): Promise<void> {
  try {
    if (journal.facts) await keepJournal(options.runPath, journal.facts, scope.pending);
  } catch (error) {
    const message = `cannot keep the journal, so virt-publish recover will not find this run: ${messageOf(error)}`;
    onEvent({ type: 'note', level: 'warning', step: 'restore', message });
  }
}

/** @returns the acts that can be undone only when the guest runs again */
async function restore(
  { scope, onEvent, name }: GuardedWork,
  cause: unknown,
): Promise<readonly UndoFailure[]> {
  if (!scope.isPending) return [];
  return runStep(onEvent, 'restore', async () => {
    const failures = await scope.restore({ waitMs: GUEST_BACK_MS });
    if (failures.some(({ isParked }) => !isParked)) throw notRestored(name, failures, cause);
    return failures;
  });
}

/** Another client paused or saved the guest: that is no failure of this run, and may last long. */
async function leaveToGuard(
  { journal, onEvent, name }: GuardedWork,
  guard: Guard,
  parked: readonly UndoFailure[],
): Promise<void> {
  guard.handOverParked();
  await journal.checkpoint(PARKED_POINT).catch((error: unknown) => {
    onEvent({ type: 'note', level: 'warning', step: 'restore', message: messageOf(error) });
  });
  const what = parked.map(({ message }) => message).join('; ');
  const message = `domain ${name}: ${what}; the guard undoes it when the guest runs again; if the guard has ended by then, run virt-publish recover`;
  onEvent({ type: 'note', level: 'warning', step: 'restore', message });
}

function notRestored(
  name: string,
  undoFailures: readonly UndoFailure[],
  cause: unknown,
): PublishError {
  const recoveryCommand = undoFailures.map((failure) => failure.recoveryCommand).join(' && ');
  const what = undoFailures.map(({ message }) => message).join('; ');
  return new PublishError(
    'GUEST_NOT_RESTORED',
    `cannot restore the guest of domain ${name}: ${what}`,
    { step: 'restore', cause, undoFailures, recoveryCommand },
  );
}
