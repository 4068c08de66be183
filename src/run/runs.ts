// The runs that have a folder in the state directory: running, or dead with pending recovery.
import { readdir } from 'node:fs/promises';
import { join } from 'node:path';
import { hasCode } from '../core/errors.ts';
import { isTrustedFolder, whyUntrusted } from '../host/files/own-folders.ts';
import {
  JOURNAL_FILE,
  type JournalEntry,
  type PendingAct,
  pendingActs,
  type RunFacts,
  readJournal,
  runFacts,
} from './journal/journal.ts';
import { DOMAIN_XML_FILE, readBootId, readMachineId, runsFolder } from './journal/run-folder.ts';
import { askLock, isRunAlive } from './lock/lock.ts';

/** Point before the first volume snapshot: from here on the domain may have a longer chain. */
export const VOLUMES_POINT = 'volumes';

/**
 * `dead`: its process has ended. `restoring`: dead, and its guard or a `recover` restores the guest
 * now. `foreign`: of another host that shares the state directory. `unreadable`: its folder or journal
 * is unreadable. `untrusted`: another user may have written its journal, which is not read.
 */
export type RunState = 'running' | 'restoring' | 'dead' | 'foreign' | 'unreadable' | 'untrusted';

export interface RunOnDisk {
  runId: string;
  /** Its folder below the state directory. */
  path: string;
  state: RunState;
  entries: readonly JournalEntry[];
  /** Undefined if the run died before it wrote its first entry. */
  facts: RunFacts | undefined;
  /** The acts on the guest that are not undone. */
  pending: readonly PendingAct[];
  /** True if the host was restarted since. */
  rebooted: boolean;
  /** Why it is `unreadable` or `untrusted`. */
  error?: unknown;
}

/**
 * Returns all runs, the oldest first; none if the state directory does not exist.
 * @throws PublishError WORK_DIR if another user could change its content.
 */
export async function readRuns(stateDir: string): Promise<RunOnDisk[]> {
  if (!(await holdsRuns(stateDir))) return [];
  const names = await readdir(runsFolder(stateDir));
  const runs = await Promise.all(names.filter(isRunId).map((name) => readRun(stateDir, name)));
  return runs
    .filter((run) => run !== undefined)
    .sort((a, b) => startOf(a).localeCompare(startOf(b)));
}

async function holdsRuns(stateDir: string): Promise<boolean> {
  return (await isTrustedFolder(stateDir)) && (await isTrustedFolder(runsFolder(stateDir)));
}

/** Returns one run; undefined if it has no folder. */
export async function readRun(stateDir: string, runId: string): Promise<RunOnDisk | undefined> {
  const path = join(runsFolder(stateDir), runId);
  const nothing = { entries: [], facts: undefined, pending: [], rebooted: false };
  try {
    const journal = join(path, JOURNAL_FILE);
    const names = await readdir(path);
    const hasJournal = names.includes(JOURNAL_FILE);
    const why =
      (await whyUntrusted(path)) ?? (hasJournal ? await whyUntrusted(journal) : undefined);
    if (why) return { runId, path, state: 'untrusted', error: new Error(why), ...nothing };
    const entries = hasJournal ? await readJournal(journal) : [];
    const facts = runFacts(entries);
    const rebooted = facts !== undefined && facts.bootId !== (await readBootId());
    const read = { runId, path, entries, facts, pending: pendingActs(entries), rebooted };
    if (facts) return { ...read, state: await stateOf(facts, rebooted) };
    if (await isRunAlive(runId)) return { ...read, state: 'running' };
    return { ...read, ...stateWithoutFacts(path, names) };
  } catch (error) {
    if (hasCode(error, 'ENOENT')) return undefined;
    return { runId, path, state: 'unreadable', error, ...nothing };
  }
}

/**
 * NOTE: no act is done before the first entry is on disk. If that entry is unreadable and the folder
 * has more than the journal, the disk has lost it; the saved XML must not be removed with it.
 */
function stateWithoutFacts(
  path: string,
  names: readonly string[],
): Pick<RunOnDisk, 'state' | 'error'> {
  if (names.every((name) => name === JOURNAL_FILE)) return { state: 'dead' };
  const saved = names.includes(DOMAIN_XML_FILE)
    ? `; if its domain is no longer defined, define it from ${join(path, DOMAIN_XML_FILE)}`
    : '';
  const message = `${join(path, JOURNAL_FILE)} does not name its run${saved}`;
  return { state: 'unreadable', error: new Error(message) };
}

/** A process of another boot is dead; else the holder of the domain's lock decides. */
async function stateOf(
  { runId, domain, machineId }: RunFacts,
  rebooted: boolean,
): Promise<RunState> {
  // NOTE: a recovery here would define, and perhaps start, another host's guest a second time.
  // If one of the two ids is unknown, the run counts as one of this host.
  const here = await readMachineId();
  if (machineId && here && machineId !== here) return 'foreign';
  if (rebooted) return 'dead';
  const holder = await askLock(domain.uuid);
  if (holder === 'free') return 'dead';
  // The holder lives, and may continue this run at any time.
  if (holder === 'unknown') return 'running';
  if (holder.runId !== runId) return 'dead';
  return holder.role === 'run' ? 'running' : 'restoring';
}

function startOf(run: RunOnDisk): string {
  return run.entries[0]?.time ?? '';
}

function isRunId(name: string): boolean {
  return /^[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}$/.test(name);
}
