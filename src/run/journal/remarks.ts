// What a guard has to say of a guest that it put back, kept in the journal until recover tells it.
import { join } from 'node:path';
import { allReached, JOURNAL_FILE, Journal, type JournalEntry } from './journal.ts';

const REMARK = 'remark';

/** @throws the file system's error, PublishError NO_SPACE, WORK_DIR. */
export async function noteRemarks(runPath: string, remarks: readonly string[]): Promise<void> {
  if (remarks.length === 0) return;
  const journal = await Journal.reopen(join(runPath, JOURNAL_FILE));
  try {
    for (const remark of remarks) await journal.reach(REMARK, remark);
  } finally {
    await journal.close();
  }
}

/** The oldest first. */
export function notedRemarks(entries: readonly JournalEntry[]): string[] {
  return allReached(entries, REMARK).filter((remark) => typeof remark === 'string');
}

export function isRemark(entry: JournalEntry): boolean {
  return entry.type === 'point' && entry.name === REMARK;
}
