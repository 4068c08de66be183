// The mark that a guard leaves when it puts the guest back under the hands of a run that hangs.
import { join } from 'node:path';
import { messageOf, PublishError, type Step } from '../../core/errors.ts';
import { JOURNAL_FILE, Journal, reached, readJournal } from '../journal/journal.ts';

const TAKEN_OVER = 'taken over';

/** Runs of this process whose guard has said so itself. */
const takenOver = new Set<string>();

/** The guard of this run has acted; its mark may be missing, as on a full disk. */
export function noteTakenOver(runPath: string): void {
  takenOver.add(runPath);
}

/** Written and on disk before the guard's first act. */
export async function markTakenOver(runPath: string): Promise<void> {
  const journal = await Journal.reopen(join(runPath, JOURNAL_FILE));
  try {
    await journal.checkpoint(TAKEN_OVER);
  } finally {
    await journal.close();
  }
}

/**
 * For a run that may have been stopped, or hung in a call, for longer than its guard allows: what it
 * took from the guest may be worth nothing then, however well its own calls ended.
 * @throws PublishError MIRROR or MANAGED_SAVE where the guard has acted; WORK_DIR if the journal, which
 * would say so, cannot be read.
 */
export async function assertNotTakenOver(runPath: string, step: Step): Promise<void> {
  if (!(await isTakenOver(runPath, step))) return;
  throw new PublishError(
    step === 'quiesce' ? 'MIRROR' : 'MANAGED_SAVE',
    'this run did not answer for longer than its deadlines allow, and its guard has put the guest back meanwhile; nothing is published of it. Run it again',
    { step, retryable: true },
  );
}

async function isTakenOver(runPath: string, step: Step): Promise<boolean> {
  try {
    const entries = await readJournal(join(runPath, JOURNAL_FILE));
    return takenOver.has(runPath) || reached(entries, TAKEN_OVER) !== undefined;
  } catch (cause) {
    const message = `the run's journal in ${runPath} cannot be read any more: ${messageOf(cause)}; nothing is published. See to the state directory, and run it again`;
    throw new PublishError('WORK_DIR', message, { step, cause });
  }
}
