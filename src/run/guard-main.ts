// The guard's own process: waits for the run to end, and puts the guest back where it ended badly.
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

/** A libvirtd that is being restarted is waited for; after that `recover` is there. */
const RESTORE_FOR_MS = 10 * 60_000;
/** As long as somebody may keep a guest paused. */
const PARKED_FOR_MS = 24 * 60 * 60_000;
/** As long as somebody else may take to begin with the mending. */
const WAIT_FOR_LOCK_MS = 5000;
const FIRST_PAUSE_MS = 50;
const PAUSE_MS = 2000;
/** Longer is too long for a timer of Node. */
const MAX_TIMER_MS = 2 ** 31 - 1;
/** A file system that hangs keeps no guard from its guest. */
const MARK_MS = 1000;

/** A run that is watched, with all that puts its guest back if no file can be read any more. */
interface Watched {
  runPath: string;
  memory: RunMemory & { entries: ActEntry[] };
  readEntries: () => Promise<JournalEntry[]>;
  /** What is left can be put back only when the guest runs again, which is somebody else's to decide. */
  isParked: boolean;
}

/**
 * Waits until it is given a run, and ends when that has released its guest, or when the guest has
 * been put back; at once where there was no run to watch after all.
 */
async function guard(uri: string): Promise<void> {
  // Proves that libvirt takes this process as a client before the run relies on it.
  await (await openConnection(uri, { callTimeoutMs: MAX_TIMER_MS })).close();
  const lines = createInterface({ input: process.stdin })[Symbol.asyncIterator]();
  const first = await lines.next();
  if (first.done) return;
  const run = JSON.parse(first.value) as WatchedRun;
  const { runPath, facts } = run;
  // NOTE: the file stays readable here when it is removed, also with what others wrote to it last.
  const file = await open(join(runPath, JOURNAL_FILE), 'r');
  const watched: Watched = {
    ...{ runPath, memory: { facts, entries: [] } },
    readEntries: async () => parseJournal(await readAll(file)),
    isParked: false,
  };
  process.stdout.write(`${READY}\n`);
  const end = await endOf(watched, run, lines);
  if (end === 'dead') await restoreAfterDeath(watched);
  if (end === 'parked') await persist(watched, () => isWhole(watched, { parked: true }));
}

/**
 * How the run has ended its part: it said that the guest is whole, or that it stands still by somebody
 * else's will; or it is dead.
 * NOTE: whatever goes wrong here, the run counts as dead, and its guest is put back.
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
    // The pipe cannot be read any more: nobody could tell that the guest is whole.
  } finally {
    timers.stopAll();
  }
  await takingOver;
  return 'dead';
}

/** The run lives, holds the lock, and hangs. The mark tells it so, should it ever go on. */
async function takeOver(watched: Watched): Promise<void> {
  process.stdout.write(`${TOOK_OVER}\n`);
  // A mark that cannot be written (a full disk) must not keep the guest frozen.
  const marked = markTakenOver(watched.runPath).catch(() => undefined);
  await Promise.race([marked, sleep(MARK_MS)]);
  await persist(watched, () => isWhole(watched, { runLives: true }));
}

/**
 * The run is dead. Its guest is put back under the domain's lock, so that no other run begins on
 * it meanwhile. Whoever has the lock already mends dead runs before all else; but one with another
 * state directory does not see this one, so after a while the guest is put back in spite of it. It
 * is put back at once where no lock is to be had, for whatever reason.
 */
async function restoreAfterDeath(watched: Watched): Promise<void> {
  const waitUntil = performance.now() + WAIT_FOR_LOCK_MS;
  const { runId, domain } = watched.memory.facts;
  const isDone = await persist(watched, async () => {
    const lock = await guardLock(domain, runId, WAIT_FOR_LOCK_MS);
    try {
      if (lock !== 'busy') return await isWhole(watched, { justDied: true });
      if (await isNothingPending(watched)) return true;
      return performance.now() >= waitUntil && (await isWhole(watched, { justDied: true }));
    } finally {
      if (lock !== 'busy') await lock?.release();
    }
  });
  if (!isDone) await isWhole(watched, { keepsFiles: true });
}

/** Tries until it is done; at once at first, since the kernel may still be at the run's death. */
async function persist(watched: Watched, isDone: () => Promise<boolean>): Promise<boolean> {
  const begun = performance.now();
  for (let pauseMs = FIRST_PAUSE_MS; ; pauseMs = Math.min(pauseMs * 2, PAUSE_MS)) {
    if (await isDone().catch(() => false)) return true;
    const forMs = watched.isParked ? PARKED_FOR_MS : RESTORE_FOR_MS;
    if (performance.now() - begun >= forMs) return false;
    await sleep(pauseMs);
  }
}

/** NOTE: nobody reads what this process says; what it could not do stands in the journal. */
async function isWhole(watched: Watched, when: Partial<RestoreOptions>): Promise<boolean> {
  const { runPath, memory, readEntries } = watched;
  const notes: string[] = [];
  const onNote = (note: string) => notes.push(note);
  const options = { keepsFiles: false, onNote, memory, readEntries, ...when };
  const failures = await restoreGuest(runPath, options);
  watched.isParked = failures.length > 0 && failures.every((failure) => failure.isParked);
  // A run that lives does all of it again, and tells itself.
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
// A run that is dead reads nothing, and a mistake in one call must not end the others.
process.stdout.on('error', () => undefined);
process.on('uncaughtException', () => undefined);
// One that does not come up ends, which the run sees.
await guard(process.argv[2] ?? '').catch(() => undefined);
process.exit(0);
