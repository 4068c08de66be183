// The runs that have a folder in the state directory: going, or dead and to be mended.
import { readdir } from 'node:fs/promises';
import { join } from 'node:path';
import {
  JOURNAL_FILE,
  type JournalEntry,
  type PendingAct,
  pendingActs,
  type RunFacts,
  readJournal,
  runFacts,
} from './journal.ts';
import { askLock, isRunAlive } from './lock.ts';
import { readBootId, runsFolder } from './run-folder.ts';

/** `restoring`: it is dead, and its guard or a `recover` puts the guest back just now. */
export type RunState = 'going' | 'restoring' | 'dead';

export interface RunOnDisk {
  runId: string;
  /** Its folder below the state directory. */
  path: string;
  state: RunState;
  entries: readonly JournalEntry[];
  /** Undefined where the run died before it wrote anything. */
  facts: RunFacts | undefined;
  /** The acts on the guest that were not taken back. */
  pending: readonly PendingAct[];
  /** True where the host has been started anew since. */
  rebooted: boolean;
}

/** All runs, the oldest first. A state directory that is not there has none. */
export async function readRuns(stateDir: string): Promise<RunOnDisk[]> {
  const names = await readdir(runsFolder(stateDir)).catch((error: unknown) => {
    if (isMissing(error)) return [];
    throw error;
  });
  const runs = await Promise.all(names.filter(isRunId).map((name) => readRun(stateDir, name)));
  return runs
    .filter((run) => run !== undefined)
    .sort((a, b) => startOf(a).localeCompare(startOf(b)));
}

/** One run; undefined where it has no folder (any more). */
export async function readRun(stateDir: string, runId: string): Promise<RunOnDisk | undefined> {
  const path = join(runsFolder(stateDir), runId);
  try {
    const entries = (await readdir(path)).includes(JOURNAL_FILE)
      ? await readJournal(join(path, JOURNAL_FILE))
      : [];
    const facts = runFacts(entries);
    const rebooted = facts !== undefined && facts.bootId !== (await readBootId());
    const state = facts ? await stateOf(facts, rebooted) : await stateBeforeFirstEntry(runId);
    return { runId, path, state, entries, facts, pending: pendingActs(entries), rebooted };
  } catch (error) {
    if (isMissing(error)) return undefined;
    throw error;
  }
}

/** NOTE: it has made its folder, and has not yet said which domain's lock it holds. */
async function stateBeforeFirstEntry(runId: string): Promise<RunState> {
  return (await isRunAlive(runId)) ? 'going' : 'dead';
}

/** A process of another boot is dead; else whoever holds the domain's lock says whose it is. */
async function stateOf({ runId, domain }: RunFacts, rebooted: boolean): Promise<RunState> {
  if (rebooted) return 'dead';
  const holder = await askLock(domain.uuid);
  if (holder === 'free') return 'dead';
  // A stopped process holds its lock without a word: it may go on at any time.
  if (holder === 'silent') return 'going';
  if (holder.runId !== runId) return 'dead';
  return holder.role === 'run' ? 'going' : 'restoring';
}

function startOf(run: RunOnDisk): string {
  return run.entries[0]?.time ?? '';
}

function isRunId(name: string): boolean {
  return /^[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}$/.test(name);
}

function isMissing(error: unknown): boolean {
  return error instanceof Error && 'code' in error && error.code === 'ENOENT';
}
