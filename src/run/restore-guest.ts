// Puts a guest back from the journal of a run, and from what its guard knows of it: for the guard, and for recover.
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { messageOf } from '../core/errors.ts';
import { ignoreRejection } from '../core/ignore-rejection.ts';
import { valueInTime } from '../core/time-limit.ts';
import { Host } from '../libvirt/host.ts';
import { pause } from './acts/chain-acts.ts';
import { freeze } from './acts/freeze-act.ts';
import { guestActs } from './acts/guest-acts.ts';
import { type RunMemory, withMemory, withSecrets } from './guard/guard-protocol.ts';
import { GuestScope, type GuestScopeOptions, type UndoFailure } from './guest-scope.ts';
import {
  JOURNAL_FILE,
  Journal,
  type JournalEntry,
  type PendingAct,
  pendingActs,
  readJournal,
  runFacts,
  unsureActs,
} from './journal/journal.ts';
import { readBootId } from './journal/run-folder.ts';
import { whileGuestIsHeld } from './lock/held-guests.ts';
import { endLeftovers } from './lock/leftovers.ts';

export interface RestoreOptions {
  onNote: (note: string) => void;
  /** The run died just now: a call of its may still be on its way to libvirt. */
  justDied?: boolean;
  /**
   * The run lives, and may go on at any time: nothing is marked as taken back, so that whatever it
   * does then is taken back again, by itself or after its death.
   */
  runLives?: boolean;
  /** The run goes on, and has left what is pending to its guard: its programs stay. */
  parked?: boolean;
  /** A thaw that fails is given up. */
  abandonThaw?: boolean;
  /** What the guard of the run knows: no file is needed then, and none is waited for. */
  memory?: RunMemory;
  /** Reads the journal; from the run's folder if left out. */
  readEntries?: () => Promise<JournalEntry[]>;
  /** Writes the files that help a person if the guest cannot be put back. */
  keepsFiles?: boolean;
}

/** Long enough for libvirtd to come back after a restart, and for an abort to be answered. */
const CALL_TIMEOUT_MS = 60_000;

/** By then libvirt has begun whatever a dead client asked it for. */
const IN_FLIGHT_MS = 1000;

/** A guest that is frozen or paused is let go before all else; a call that hangs there is not waited for. */
const LET_GO_FIRST_MS = 5000;

/** A file system that hangs keeps no guard from its guest. */
const FILE_MS = 2000;

/** Nothing goes on in a guest that is frozen or paused. */
export function isHold(act: string): boolean {
  return act === freeze.name || act === pause.name;
}

/**
 * Takes back all that the run announced and did not mark as taken back. Safe to run twice, and beside
 * a process that does the same.
 * @returns what could not be taken back; empty when the guest is whole.
 */
export function restoreGuest(runPath: string, options: RestoreOptions): Promise<UndoFailure[]> {
  return whileGuestIsHeld(() => restore(runPath, options));
}

/** What is announced and not taken back, as far as the journal can be read and memory knows. */
export async function pendingOf(
  runPath: string,
  { memory, readEntries }: Pick<RestoreOptions, 'memory' | 'readEntries'>,
): Promise<{ entries: JournalEntry[]; pending: PendingAct[] }> {
  const read = readEntries ?? (() => readJournal(join(runPath, JOURNAL_FILE)));
  if (!memory) {
    const entries = await read();
    return { entries, pending: pendingActs(entries) };
  }
  const entries = withMemory(await valueInTime(read(), [], FILE_MS), memory);
  return { entries, pending: withSecrets(pendingActs(entries), memory.entries) };
}

async function restore(runPath: string, options: RestoreOptions): Promise<UndoFailure[]> {
  const { onNote, justDied = false, runLives = false, parked = false, memory } = options;
  const { entries, pending } = await pendingOf(runPath, options);
  const facts = runFacts(entries);
  if (!facts || pending.length === 0) return [];
  // A guard is never older than its host's boot.
  const rebooted = memory ? false : facts.bootId !== (await readBootId());
  const journal = runLives ? SILENT : await reopen(runPath, options);
  const undo = async (acts: readonly PendingAct[]) => {
    if (acts.length === 0) return [];
    const host = new Host(facts.uri, { callMs: CALL_TIMEOUT_MS });
    const context = { host, ...facts.domain, rebooted };
    const { keepsFiles = true } = options;
    const scope = { journal, acts: guestActs, context, onNote, keepsFiles };
    return new GuestScope(scope, acts).restore().finally(() => host.close());
  };
  try {
    const lettingGo = ignoreRejection(undo(pending.filter(({ act }) => isHold(act))));
    await valueInTime(lettingGo, [], LET_GO_FIRST_MS);
    if (!parked)
      await valueInTime(endLeftoversOf(facts.scratch, onNote), undefined, LET_GO_FIRST_MS);
    const others = await undo(pending.filter(({ act }) => !isHold(act)));
    const failures = [...(await lettingGo), ...others];
    if (options.abandonThaw) {
      return await giveUpThaw(failures, pending, { journal, ...facts.domain, onNote });
    }
    const unsure = justDied ? withSecrets(unsureActs(entries), memory?.entries ?? []) : [];
    if (unsure.length === 0 || failures.length > 0) return failures;
    await sleep(IN_FLIGHT_MS);
    return await undo(unsure);
  } finally {
    await valueInTime(journal.close(), undefined, FILE_MS);
  }
}

/** @returns the failures that are left. */
async function giveUpThaw(
  failures: readonly UndoFailure[],
  pending: readonly PendingAct[],
  run: { journal: OpenJournal; name: string; onNote: (note: string) => void },
): Promise<UndoFailure[]> {
  const left = failures.filter(({ act }) => act !== freeze.name);
  if (left.length === failures.length) return left;
  for (const thaw of pending.filter(({ act }) => act === freeze.name)) {
    await run.journal.write({ type: 'undone', ...thaw });
  }
  run.onNote(
    `the thaw of domain ${run.name} was given up: file systems in the guest may stay frozen until it is reset`,
  );
  return left;
}

/** One that goes on may hold a lock on a disk; the guest is tried to be put back all the same. */
async function endLeftoversOf(scratch: string, onNote: (note: string) => void): Promise<void> {
  try {
    await endLeftovers(scratch);
  } catch (error) {
    onNote(`programs of the dead run could not be looked for: ${messageOf(error)}`);
  }
}

type OpenJournal = GuestScopeOptions<unknown>['journal'] & Pick<Journal, 'close'>;

const SILENT: OpenJournal = { write: () => Promise.resolve(), close: () => Promise.resolve() };

/** NOTE: a file system that is read-only, hangs or is gone must not keep the guest as it is. */
async function reopen(runPath: string, { onNote, memory }: RestoreOptions): Promise<OpenJournal> {
  try {
    const opening = Journal.reopen(join(runPath, JOURNAL_FILE));
    if (!memory) return await opening;
    const journal = await valueInTime(opening, undefined, FILE_MS);
    if (!journal) return SILENT;
    return {
      write: (...entry) => valueInTime(journal.write(...entry), undefined, FILE_MS),
      close: () => journal.close(),
    };
  } catch (error) {
    onNote(`the run's journal cannot be written: ${messageOf(error)}`);
    return SILENT;
  }
}
