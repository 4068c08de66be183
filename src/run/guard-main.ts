// The guard process: waits for the end of the run, and restores the guest if the run died or hangs.
import { type FileHandle, open } from 'node:fs/promises';
import { join } from 'node:path';
import { createInterface } from 'node:readline';
import { setTimeout as sleep } from 'node:timers/promises';
import { openConnection } from '../libvirt/connection.ts';
import { ActTimers } from './guard/act-timers.ts';
import { guardLock } from './guard/guard-lock.ts';
import {
  type ActEntry,
  parseMessage,
  READY,
  type RunMemory,
  TOOK_OVER,
  type WatchedRun,
} from './guard/guard-protocol.ts';
import { markTakenOver } from './guard/take-over.ts';
import { JOURNAL_FILE, type JournalEntry, parseJournal } from './journal/journal.ts';
import { writeNotes } from './journal/notes.ts';
import { isHold, pendingOf, type RestoreOptions, restoreGuest } from './restore-guest.ts';

/** How long a restore is retried, a restart of libvirtd for example; `recover` can do it later. */
const RESTORE_FOR_MS = 10 * 60_000;
/** How long another client may keep the guest paused before the guard gives up. */
const PARKED_FOR_MS = 24 * 60 * 60_000;
/** How long another process may hold the domain's lock without recovering this run. */
const WAIT_FOR_LOCK_MS = 5000;
const FIRST_PAUSE_MS = 50;
const PAUSE_MS = 2000;
/** The longest delay of a timer in Node. */
const MAX_TIMER_MS = 2 ** 31 - 1;
/** How long a mark is waited for: a file system that hangs must not keep the guard from its guest. */
const MARK_MS = 1000;

/** A watched run, with all that a restore needs if no file is readable. */
interface Watched {
  runPath: string;
  memory: RunMemory & { entries: ActEntry[] };
  readEntries: () => Promise<JournalEntry[]>;
  /** The pending acts can be undone only when the guest runs again, which another client decides. */
  isParked: boolean;
}

/**
 * Waits for a run, and returns when the run has released the guard, or the guest is restored; at once
 * if its input ends without a run.
 */
async function guard(uri: string): Promise<void> {
  // Proves that libvirt takes this process as a client before the run relies on it.
  await (await openConnection(uri, { callTimeoutMs: MAX_TIMER_MS })).close();
  const lines = createInterface({ input: process.stdin })[Symbol.asyncIterator]();
  const first = await lines.next();
  if (first.done) return;
  const run = JSON.parse(first.value) as WatchedRun;
  const { runPath, facts } = run;
  // NOTE: an open file stays readable after its removal, with the last entries of other processes.
  const file = await open(join(runPath, JOURNAL_FILE), 'r');
  const watched: Watched = {
    ...{ runPath, memory: { facts, entries: [] } },
    readEntries: async () => parseJournal(await readAll(file)),
    isParked: false,
  };
  process.stdout.write(`${READY}\n`);
  const end = await endOf(watched, run, lines);
  if (end === 'dead') await restoreAfterDeath(watched);
  if (end === 'parked') await retryUntil(watched, () => tryRestore(watched, { parked: true }));
}

/**
 * Resolves to how the run ended: it reported that the guest is restored, or that another client keeps
 * the guest from running; or it died.
 * NOTE: on any failure here the run counts as dead, and its guest is restored.
 */
async function endOf(
  watched: Watched,
  { freezeMs, guestMs }: WatchedRun,
  lines: AsyncIterable<string>,
): Promise<'released' | 'parked' | 'dead'> {
  let takingOver: Promise<void> = Promise.resolve();
  const timers = new ActTimers(() => {
    takingOver = takingOver.then(() => takeOver(watched));
  });
  try {
    for await (const line of lines) {
      const message = parseMessage(line);
      if (message === undefined) continue;
      if (message.type === 'released' || message.type === 'parked') return message.type;
      watched.memory.entries.push(message);
      if (message.type === 'undone') timers.stop(message.act);
      if (message.type === 'intent') {
        timers.start(message.act, isHold(message.act) ? freezeMs : guestMs);
      }
    }
  } catch {
    // The pipe is unreadable: the run could not report that the guest is restored.
  } finally {
    timers.stopAll();
  }
  await takingOver;
  return 'dead';
}

/** Restores the guest of a run that hangs and holds the lock. The mark stops the run if it continues. */
async function takeOver(watched: Watched): Promise<void> {
  process.stdout.write(`${TOOK_OVER}\n`);
  // A mark that cannot be written (a full disk) must not keep the guest frozen.
  const marked = markTakenOver(watched.runPath).catch(() => undefined);
  await Promise.race([marked, sleep(MARK_MS)]);
  await retryUntil(watched, () => tryRestore(watched, { runLives: true }));
}

/**
 * Restores the guest of a dead run under the domain's lock, so that no other run starts meanwhile.
 * Another holder of the lock recovers dead runs first; but one with another state directory does not
 * see this run, so after a while the guest is restored in spite of the lock. If the lock cannot be
 * taken for another reason, the guest is restored at once.
 */
async function restoreAfterDeath(watched: Watched): Promise<void> {
  const waitUntil = performance.now() + WAIT_FOR_LOCK_MS;
  const { runId, domain } = watched.memory.facts;
  const isDone = await retryUntil(watched, async () => {
    const lock = await guardLock(domain, runId, WAIT_FOR_LOCK_MS);
    try {
      if (lock !== 'busy') return await tryRestore(watched, { justDied: true });
      if (await isNothingPending(watched)) return true;
      return performance.now() >= waitUntil && (await tryRestore(watched, { justDied: true }));
    } finally {
      if (lock !== 'busy') await lock?.release();
    }
  });
  if (!isDone) await tryRestore(watched, { keepsFiles: true });
}

/** Retries until it is done, soon at first, since the kernel may still be ending the run. */
async function retryUntil(watched: Watched, isDone: () => Promise<boolean>): Promise<boolean> {
  const startedAt = performance.now();
  for (let pauseMs = FIRST_PAUSE_MS; ; pauseMs = Math.min(pauseMs * 2, PAUSE_MS)) {
    if (await isDone().catch(() => false)) return true;
    const forMs = watched.isParked ? PARKED_FOR_MS : RESTORE_FOR_MS;
    if (performance.now() - startedAt >= forMs) return false;
    await sleep(pauseMs);
  }
}

/** NOTE: no process reads the output of the guard; its notes and the pending acts are in the journal. */
async function tryRestore(watched: Watched, when: Partial<RestoreOptions>): Promise<boolean> {
  const { runPath, memory, readEntries } = watched;
  const notes: string[] = [];
  const onNote = (note: string) => notes.push(note);
  const options = { keepsFiles: false, onNote, memory, readEntries, ...when };
  const failures = await restoreGuest(runPath, options);
  watched.isParked = failures.length > 0 && failures.every((failure) => failure.isParked);
  // A run that lives does all of it again, and reports it.
  if (!when.runLives) {
    const noted = writeNotes(runPath, notes).catch(() => undefined);
    await Promise.race([noted, sleep(MARK_MS)]);
  }
  return failures.length === 0;
}

async function isNothingPending({ runPath, ...known }: Watched): Promise<boolean> {
  return (await pendingOf(runPath, known)).pending.length === 0;
}

async function readAll(file: FileHandle): Promise<string> {
  const { size } = await file.stat();
  const { buffer, bytesRead } = await file.read(Buffer.alloc(size), 0, size, 0);
  return buffer.toString('utf8', 0, bytesRead);
}

for (const signal of ['SIGINT', 'SIGTERM', 'SIGHUP'] as const) process.on(signal, () => undefined);
// A dead run reads nothing, and a defect in one call must not prevent the others.
process.stdout.on('error', () => undefined);
process.on('uncaughtException', () => undefined);
// A guard that cannot start ends, which the run detects.
await guard(process.argv[2] ?? '').catch(() => undefined);
process.exit(0);
