// The notes of a guard about a guest that it restored: kept in the journal until recover reports them.
import { join } from 'node:path';
import { allReached, JOURNAL_FILE, Journal, type JournalEntry } from './journal.ts';

const NOTE = 'remark';

/** @throws the file system's error, PublishError NO_SPACE, WORK_DIR. */
export async function writeNotes(runPath: string, notes: readonly string[]): Promise<void> {
  if (notes.length === 0) return;
  const journal = await Journal.reopen(join(runPath, JOURNAL_FILE));
  try {
    for (const note of notes) await journal.checkpoint(NOTE, note);
  } finally {
    await journal.close();
  }
}

/** Returns the notes of a journal, the oldest first. */
export function readNotes(entries: readonly JournalEntry[]): string[] {
  return allReached(entries, NOTE).filter((note) => typeof note === 'string');
}

export function isNote(entry: JournalEntry): boolean {
  return entry.type === 'point' && entry.name === NOTE;
}
