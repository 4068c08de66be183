// The mark of a guard that begins to restore the guest of a run that hangs: the run must not publish its image.
import { join } from 'node:path';
import { messageOf, PublishError, type Step } from '../../core/errors.ts';
import { JOURNAL_FILE, Journal, reached, readJournal, STATE_DIR_HINT } from '../journal/journal.ts';

const TAKEN_OVER = 'taken over';

/** Runs of this process whose guard has reported it. */
const takenOver = new Set<string>();

/** Notes that the guard of this run has acted; its mark may be missing, on a full disk for example. */
export function noteTakenOver(runPath: string): void {
  takenOver.add(runPath);
}

/** Writes the mark, before the guard's first act. */
export async function markTakenOver(runPath: string): Promise<void> {
  const journal = await Journal.reopen(join(runPath, JOURNAL_FILE));
  try {
    await journal.checkpoint(TAKEN_OVER);
  } finally {
    await journal.close();
  }
}

/**
 * Checks that the guard has not acted. A run may have been stopped, or hung in a call, for longer
 * than its guard allows. Then it may have captured a wrong state, although its own calls succeeded.
 * @throws PublishError MIRROR or MANAGED_SAVE if the guard has acted; WORK_DIR if the journal is
 * unreadable.
 */
export async function assertNotTakenOver(runPath: string, step: Step): Promise<void> {
  if (!(await isTakenOver(runPath, step))) return;
  throw new PublishError(
    step === 'quiesce' ? 'MIRROR' : 'MANAGED_SAVE',
    'this run hung for longer than its deadlines, so its guard restored the guest; nothing is published',
    { step, retryable: true, hint: 'run it again' },
  );
}

async function isTakenOver(runPath: string, step: Step): Promise<boolean> {
  try {
    const entries = await readJournal(join(runPath, JOURNAL_FILE));
    return takenOver.has(runPath) || reached(entries, TAKEN_OVER) !== undefined;
  } catch (cause) {
    const message = `cannot read the run's journal in ${runPath}, so nothing is published: ${messageOf(cause)}`;
    throw new PublishError('WORK_DIR', message, { step, cause, hint: STATE_DIR_HINT });
  }
}
