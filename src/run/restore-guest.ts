// Puts a guest back from the journal of a run alone: for the guard, and for recover.
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { messageOf } from '../errors.ts';
import { Host } from '../libvirt/host.ts';
import { freeze } from './freeze-act.ts';
import { guestActs } from './guest-acts.ts';
import { GuestScope, type GuestScopeOptions, type UndoFailure } from './guest-scope.ts';
import {
  JOURNAL_FILE,
  Journal,
  type PendingAct,
  pendingActs,
  readJournal,
  runFacts,
  unsureActs,
} from './journal.ts';
import { endOrphans } from './orphans.ts';
import { readBootId } from './run-folder.ts';

export interface RestoreOptions {
  onRemark: (remark: string) => void;
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
}

/** Long enough for libvirtd to come back after a restart, and for an abort to be answered. */
const CALL_TIMEOUT_MS = 60_000;

/** By then libvirt has begun whatever a dead client asked it for. */
const IN_FLIGHT_MS = 1000;

/**
 * Takes back all that the journal in `runPath` announced and did not mark as taken back. Safe to
 * run twice, and beside a process that does the same.
 * @returns what could not be taken back; empty when the guest is whole.
 */
export async function restoreGuest(
  runPath: string,
  {
    onRemark,
    justDied = false,
    runLives = false,
    parked = false,
    abandonThaw = false,
  }: RestoreOptions,
): Promise<UndoFailure[]> {
  const path = join(runPath, JOURNAL_FILE);
  const entries = await readJournal(path);
  const facts = runFacts(entries);
  const pending = pendingActs(entries);
  if (!facts || pending.length === 0) return [];
  if (!parked) await endOrphans(facts.scratch);
  const host = new Host(facts.uri, { workMs: CALL_TIMEOUT_MS, controlMs: CALL_TIMEOUT_MS });
  const rebooted = facts.bootId !== (await readBootId());
  const context = { host, ...facts.domain, rebooted };
  const journal = runLives ? SILENT : await reopen(path, onRemark);
  const undo = (acts: readonly PendingAct[]) =>
    new GuestScope({ journal, acts: guestActs, context, onRemark }, acts).restore();
  try {
    const failures = await undo(pending);
    if (abandonThaw) return await giveUpThaw(failures, pending, { journal, ...context, onRemark });
    const unsure = justDied ? unsureActs(entries) : [];
    if (unsure.length === 0 || failures.length > 0) return failures;
    await sleep(IN_FLIGHT_MS);
    return await undo(unsure);
  } finally {
    await journal.close();
    await host.close();
  }
}

/** @returns the failures that are left. */
async function giveUpThaw(
  failures: readonly UndoFailure[],
  pending: readonly PendingAct[],
  run: { journal: OpenJournal; name: string; onRemark: (remark: string) => void },
): Promise<UndoFailure[]> {
  const left = failures.filter(({ act }) => act !== freeze.name);
  if (left.length === failures.length) return left;
  for (const thaw of pending.filter(({ act }) => act === freeze.name)) {
    await run.journal.write({ type: 'undone', ...thaw });
  }
  run.onRemark(
    `the thaw of domain ${run.name} was given up: file systems in the guest may stay frozen until it is reset`,
  );
  return left;
}

type OpenJournal = GuestScopeOptions<unknown>['journal'] & Pick<Journal, 'close'>;

const SILENT: OpenJournal = { write: () => Promise.resolve(), close: () => Promise.resolve() };

/** NOTE: a file system that is read-only or gone must not keep the guest as it is. */
async function reopen(path: string, onRemark: (remark: string) => void): Promise<OpenJournal> {
  try {
    return await Journal.reopen(path);
  } catch (error) {
    onRemark(`the run's journal cannot be written: ${messageOf(error)}`);
    return SILENT;
  }
}
