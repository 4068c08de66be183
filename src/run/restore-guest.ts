// Puts a guest back from the journal of a run alone: for the guard, and for recover.
import { join } from 'node:path';
import { Host } from '../libvirt/host.ts';
import { guestActs } from './guest-acts.ts';
import { GuestScope, type UndoFailure } from './guest-scope.ts';
import { JOURNAL_FILE, Journal, pendingActs, readJournal, runFacts } from './journal.ts';

/** Long enough for libvirtd to come back after a restart, and for an abort to be answered. */
const CALL_TIMEOUT_MS = 60_000;

/**
 * Takes back all that the journal in `runPath` announced and did not mark as taken back. Safe to
 * run twice, and beside a process that does the same.
 * @returns what could not be taken back; empty when the guest is whole.
 */
export async function restoreGuest(
  runPath: string,
  onRemark: (remark: string) => void,
): Promise<UndoFailure[]> {
  const path = join(runPath, JOURNAL_FILE);
  const entries = await readJournal(path);
  const facts = runFacts(entries);
  const pending = pendingActs(entries);
  if (!facts || pending.length === 0) return [];
  const host = new Host(facts.uri, { workMs: CALL_TIMEOUT_MS, controlMs: CALL_TIMEOUT_MS });
  const journal = await Journal.reopen(path);
  try {
    const context = { host, ...facts.domain };
    const scope = new GuestScope({ journal, acts: guestActs, context, onRemark }, pending);
    return await scope.restore();
  } finally {
    await journal.close();
    await host.close();
  }
}
