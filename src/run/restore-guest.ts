// Restores a guest from the journal of a run, and from the memory of its guard: for the guard and for recover.
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
import { whileGuestIsChanged } from './lock/changed-guests.ts';
import { endLeftovers } from './lock/leftovers.ts';

export interface RestoreOptions {
  onNote: (note: string) => void;
  /** The run died just now: libvirt may still receive a call of it. */
  justDied?: boolean;
  /**
   * The run lives, and may continue at any time: nothing is marked as undone, so that its later acts
   * are undone again, by itself or after its death.
   */
  runLives?: boolean;
  /** The run continues, and left its pending acts to its guard: its programs are not ended. */
  parked?: boolean;
  /** Marks a thaw that fails as undone. */
  abandonThaw?: boolean;
  /** The memory of the run's guard: no file is needed then, and none is waited for. */
  memory?: RunMemory;
  /** Reads the journal; from the run's folder if left out. */
  readEntries?: () => Promise<JournalEntry[]>;
  /** Writes the files of the recovery commands if the guest cannot be restored. */
  keepsFiles?: boolean;
}

/** Long enough for libvirtd to come back after a restart, and for an abort to be answered. */
const CALL_TIMEOUT_MS = 60_000;

/** After this time libvirt has started every call of a dead client. */
const IN_FLIGHT_MS = 1000;

/** How long the undo of a freeze or pause is waited for before the other undos start. */
const RELEASE_FIRST_MS = 5000;

/** How long a file is waited for: a file system that hangs must not keep a guard from its guest. */
const FILE_MS = 2000;

/** Whether the act holds the guest: freezes or pauses it. */
export function isHold(act: string): boolean {
  return act === freeze.name || act === pause.name;
}

/**
 * Undoes all acts that the run journaled and did not mark as undone. Safe to run twice, and while
 * another process does the same.
 * @returns the undos that failed; empty if the guest is restored.
 */
export function restoreGuest(runPath: string, options: RestoreOptions): Promise<UndoFailure[]> {
  return whileGuestIsChanged(() => restore(runPath, options));
}

/** Returns the pending acts, from the journal and from memory. */
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
    const releasing = ignoreRejection(undo(pending.filter(({ act }) => isHold(act))));
    await valueInTime(releasing, [], RELEASE_FIRST_MS);
    if (!parked)
      await valueInTime(endLeftoversOf(facts.scratch, onNote), undefined, RELEASE_FIRST_MS);
    const others = await undo(pending.filter(({ act }) => !isHold(act)));
    const failures = [...(await releasing), ...others];
    if (options.abandonThaw) {
      return await abandonThaw(failures, pending, { journal, ...facts.domain, onNote });
    }
    const unsure = justDied ? withSecrets(unsureActs(entries), memory?.entries ?? []) : [];
    if (unsure.length === 0 || failures.length > 0) return failures;
    await sleep(IN_FLIGHT_MS);
    return await undo(unsure);
  } finally {
    await valueInTime(journal.close(), undefined, FILE_MS);
  }
}

/** Marks a thaw that failed as undone. @returns the other failures */
async function abandonThaw(
  failures: readonly UndoFailure[],
  pending: readonly PendingAct[],
  run: { journal: OpenJournal; name: string; onNote: (note: string) => void },
): Promise<UndoFailure[]> {
  const others = failures.filter(({ act }) => act !== freeze.name);
  if (others.length === failures.length) return others;
  for (const thaw of pending.filter(({ act }) => act === freeze.name)) {
    await run.journal.write({ type: 'undone', ...thaw });
  }
  run.onNote(
    `the thaw of domain ${run.name} is abandoned: file systems in the guest may stay frozen until it is reset`,
  );
  return others;
}

/** A program that still runs may hold a lock on a disk; the guest is restored in any case. */
async function endLeftoversOf(scratch: string, onNote: (note: string) => void): Promise<void> {
  try {
    await endLeftovers(scratch);
  } catch (error) {
    onNote(`cannot look for programs of the dead run: ${messageOf(error)}`);
  }
}

type OpenJournal = GuestScopeOptions<unknown>['journal'] & Pick<Journal, 'close'>;

const SILENT: OpenJournal = { write: () => Promise.resolve(), close: () => Promise.resolve() };

/** NOTE: a file system that is read-only, hangs or is unmounted must not prevent the restore. */
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
    onNote(`cannot write the run's journal: ${messageOf(error)}`);
    return SILENT;
  }
}
