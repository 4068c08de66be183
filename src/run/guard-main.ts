// The guard's own process: waits for the run to end, and puts the guest back where it ended badly.
import { join } from 'node:path';
import { createInterface } from 'node:readline';
import { setTimeout as sleep } from 'node:timers/promises';
import { PublishError } from '../errors.ts';
import { openConnection } from '../libvirt/connection.ts';
import { pause } from './chain-acts.ts';
import { freeze } from './freeze-act.ts';
import type { GuardOptions } from './guard.ts';
import { JOURNAL_FILE, pendingActs, type RunFacts, readJournal, runFacts } from './journal.ts';
import { lockDomain } from './lock.ts';
import { noteRemarks } from './remarks.ts';
import { restoreGuest } from './restore-guest.ts';
import { markTakenOver } from './take-over.ts';

type Message =
  | { type: 'intent'; act: string }
  | { type: 'undone'; act: string }
  | { type: 'released' }
  | { type: 'parked' };

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

/**
 * Waits until it is given a run, and ends when that has released its guest, or when the guest has
 * been put back; at once where there was no run to watch after all.
 */
async function guard(uri: string): Promise<void> {
  // Proves that libvirt takes this process as a client before the run relies on it.
  await (await openConnection(uri, { callTimeoutMs: MAX_TIMER_MS })).close();
  const lines = createInterface({ input: process.stdin })[Symbol.asyncIterator]();
  const first = await lines.next();
  if (!first.done) await watch(JSON.parse(first.value) as GuardOptions, lines);
}

async function watch(
  { runPath, freezeMs, guestMs }: GuardOptions,
  lines: AsyncIterable<string>,
): Promise<void> {
  const facts = runFacts(await readJournal(join(runPath, JOURNAL_FILE)));
  if (!facts) throw new Error(`${runPath} is no run`);
  process.stdout.write('ready\n');
  let takingOver: Promise<void> = Promise.resolve();
  const timers = new Timers(() => {
    takingOver = takingOver.then(() => takeOver(runPath));
  });
  for await (const line of lines) {
    const message = JSON.parse(line) as Message;
    if (message.type === 'released') return timers.stopAll();
    if (message.type === 'parked') {
      timers.stopAll();
      return persist(() => isWhole(runPath, { parked: true }), PARKED_FOR_MS);
    }
    if (message.type === 'undone') timers.stop(message.act);
    else timers.start(message.act, isHeld(message.act) ? freezeMs : guestMs);
  }
  timers.stopAll();
  await takingOver;
  await restoreAfterDeath(runPath, facts);
}

/** Nothing goes on in a guest that is frozen or paused. */
function isHeld(act: string): boolean {
  return act === freeze.name || act === pause.name;
}

/** The run lives, holds the lock, and hangs. The mark tells it so, should it ever go on. */
async function takeOver(runPath: string): Promise<void> {
  // A mark that cannot be written (a full disk) must not keep the guest frozen.
  await markTakenOver(runPath).catch(() => undefined);
  await persist(() => isWhole(runPath, { runLives: true }));
}

/**
 * The run is dead. Its guest is put back under the domain's lock, so that no other run begins on
 * it meanwhile. Whoever has the lock already mends dead runs before all else; but one with another
 * state directory does not see this one, so after a while the guest is put back in spite of it.
 */
async function restoreAfterDeath(runPath: string, { runId, domain }: RunFacts): Promise<void> {
  const waitUntil = performance.now() + WAIT_FOR_LOCK_MS;
  await persist(async () => {
    const lock = await lockDomain(domain, runId, { role: 'guard' }).catch((error: unknown) => {
      if (error instanceof PublishError && error.code === 'DOMAIN_BUSY') return undefined;
      throw error;
    });
    if (!lock) {
      if (await isNothingPending(runPath)) return true;
      return performance.now() >= waitUntil && isWhole(runPath, { justDied: true });
    }
    try {
      return await isWhole(runPath, { justDied: true });
    } finally {
      await lock.release();
    }
  });
}

/** Tries until it is done; at once at first, since the kernel may still be at the run's death. */
async function persist(isDone: () => Promise<boolean>, forMs = RESTORE_FOR_MS): Promise<void> {
  const deadline = performance.now() + forMs;
  for (let pauseMs = FIRST_PAUSE_MS; performance.now() < deadline; ) {
    if (await isDone()) return;
    await sleep(pauseMs);
    pauseMs = Math.min(pauseMs * 2, PAUSE_MS);
  }
}

/** NOTE: nobody reads what this process says; what it could not do stands in the journal. */
async function isWhole(
  runPath: string,
  when: { justDied?: boolean; runLives?: boolean; parked?: boolean },
): Promise<boolean> {
  const remarks: string[] = [];
  try {
    const onRemark = (remark: string) => remarks.push(remark);
    const failures = await restoreGuest(runPath, { onRemark, ...when });
    // A run that lives does all of it again, and tells itself.
    if (!when.runLives) await noteRemarks(runPath, remarks).catch(() => undefined);
    return failures.length === 0;
  } catch (error) {
    return isGone(error);
  }
}

async function isNothingPending(runPath: string): Promise<boolean> {
  try {
    return pendingActs(await readJournal(join(runPath, JOURNAL_FILE))).length === 0;
  } catch (error) {
    return isGone(error);
  }
}

/** Where the folder is gone, the run has ended well after all, or somebody has mended it. */
function isGone(error: unknown): boolean {
  return error instanceof Error && 'code' in error && error.code === 'ENOENT';
}

/** One deadline for all acts of a name that are pending, from the newest of them on. */
class Timers {
  readonly #onLate: () => void;
  readonly #timers = new Map<string, { timer: NodeJS.Timeout; pending: number }>();

  constructor(onLate: () => void) {
    this.#onLate = onLate;
  }

  start(act: string, ms: number): void {
    const before = this.#timers.get(act);
    clearTimeout(before?.timer);
    const timer = setTimeout(this.#onLate, Math.min(ms, MAX_TIMER_MS));
    this.#timers.set(act, { timer, pending: (before?.pending ?? 0) + 1 });
  }

  stop(act: string): void {
    const found = this.#timers.get(act);
    if (!found) return;
    found.pending -= 1;
    if (found.pending > 0) return;
    clearTimeout(found.timer);
    this.#timers.delete(act);
  }

  stopAll(): void {
    for (const { timer } of this.#timers.values()) clearTimeout(timer);
    this.#timers.clear();
  }
}

// At the end of the file: a class is not there before its line has been run.
for (const signal of ['SIGINT', 'SIGTERM', 'SIGHUP'] as const) process.on(signal, () => undefined);
await guard(process.argv[2] ?? '');
process.exit(0);
