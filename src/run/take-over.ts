// The mark that a guard leaves when it puts the guest back under the hands of a run that hangs.
import { join } from 'node:path';
import { PublishError, type Step } from '../errors.ts';
import { JOURNAL_FILE, Journal, reached, readJournal } from './journal.ts';

const TAKEN_OVER = 'taken over';

/** Written and on disk before the guard's first act. */
export async function markTakenOver(runPath: string): Promise<void> {
  const journal = await Journal.reopen(join(runPath, JOURNAL_FILE));
  try {
    await journal.reach(TAKEN_OVER);
  } finally {
    await journal.close();
  }
}

/**
 * For a run that may have been stopped, or hung in a call, for longer than its guard allows: what it
 * took from the guest may be worth nothing then, however well its own calls ended.
 * @throws PublishError MIRROR or MANAGED_SAVE where the guard has acted.
 */
export async function refuseIfTakenOver(runPath: string, step: Step): Promise<void> {
  const entries = await readJournal(join(runPath, JOURNAL_FILE));
  if (reached(entries, TAKEN_OVER) === undefined) return;
  throw new PublishError(
    step === 'quiesce' ? 'MIRROR' : 'MANAGED_SAVE',
    'this run did not answer for longer than its deadlines allow, and its guard has put the guest back meanwhile; nothing is published of it. Run it again',
    { step, retryable: true },
  );
}
