// The time in which a guest is not as it was: a guard from before the first act, all undone after the last.
import { messageOf, PublishError } from '../core/errors.ts';
import { type OnEvent, runStep } from '../core/events.ts';
import type { GuestContext } from './acts/guest-context.ts';
import type { Guard, GuardOptions, SpareGuard } from './guard/guard.ts';
import { keepJournal } from './guard/keep-run.ts';
import type { GuestScope, UndoFailure } from './guest-scope.ts';
import { type Journal, PARKED_POINT } from './journal/journal.ts';
import { whileGuestIsHeld } from './lock/held-guests.ts';

/** As long as a guest that was reset may take until its agent is back. */
const GUEST_BACK_MS = 120_000;

export interface GuardedWork {
  /** Of the domain. */
  name: string;
  guard: SpareGuard;
  options: GuardOptions;
  journal: Journal;
  scope: GuestScope<GuestContext>;
  onEvent: OnEvent;
}

/**
 * Runs `work` under the guard. The guest is whole again when this settles, either way.
 * @throws PublishError what `work` throws; GUEST_NOT_RESTORED with the first error as cause.
 */
export function underGuard<T>(run: GuardedWork, work: () => Promise<T>): Promise<T> {
  return whileGuestIsHeld(() => guarded(run, work));
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

/** What this process cannot put back, the guard goes on trying to. */
async function restoreOrAbandon(run: GuardedWork, guard: Guard, cause: unknown): Promise<void> {
  let parked: readonly UndoFailure[];
  try {
    parked = await restore(run, cause);
  } catch (error) {
    await keepForRecover(run);
    guard.abandon();
    throw error;
  }
  if (parked.length > 0) await leaveToGuard(run, guard, parked);
  else await guard.release();
}

/** The run's folder may be gone: recover needs a journal, and the command in the error its file. */
async function keepForRecover({ options, journal, scope, onEvent }: GuardedWork): Promise<void> {
  try {
    if (journal.facts) await keepJournal(options.runPath, journal.facts, scope.pending);
  } catch (error) {
    const message = `virt-publish recover will not find this run: ${messageOf(error)}`;
    onEvent({ type: 'note', level: 'warning', step: 'restore', message });
  }
}

/** @returns the acts that can be taken back only when the guest runs again. */
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

/** Somebody else keeps the guest from running: that is no failure of this run, and it may take long. */
async function leaveToGuard(
  { journal, onEvent, name }: GuardedWork,
  guard: Guard,
  parked: readonly UndoFailure[],
): Promise<void> {
  guard.stay();
  await journal.checkpoint(PARKED_POINT).catch((error: unknown) => {
    onEvent({ type: 'note', level: 'warning', step: 'restore', message: messageOf(error) });
  });
  const what = parked.map(({ message }) => message).join('; ');
  const message = `domain ${name}: ${what}. The guard does it when the guest runs again; if the guard is gone, run virt-publish recover`;
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
    `domain ${name} could not be put back as it was: ${what}`,
    { step: 'restore', cause, undoFailures, recoveryCommand },
  );
}
