// The guard's own process: waits for the run to end, and puts the guest back where it ended badly.
import { createInterface } from 'node:readline';
import { setTimeout as sleep } from 'node:timers/promises';
import { openConnection } from '../libvirt/connection.ts';
import type { GuardOptions } from './guard.ts';
import { freeze } from './guest-acts.ts';
import { JOURNAL_FILE, readJournal, runFacts } from './journal.ts';
import { restoreGuest } from './restore-guest.ts';

type Message =
  | { type: 'intent'; act: string }
  | { type: 'undone'; act: string }
  | { type: 'released' };

/** A libvirtd that is being restarted is waited for; after that `recover` is there. */
const RESTORE_TRIES = 30;
const RESTORE_PAUSE_MS = 2000;

const options = JSON.parse(process.argv[2] ?? '{}') as GuardOptions;
for (const signal of ['SIGINT', 'SIGTERM', 'SIGHUP'] as const) process.on(signal, () => undefined);
await guard(options);

/** Ends when the run has released its guest, or when the guest has been put back. */
async function guard({ runPath, freezeMs, guestMs }: GuardOptions): Promise<void> {
  const uri = runFacts(await readJournal(`${runPath}/${JOURNAL_FILE}`))?.uri ?? '';
  // Proves that libvirt takes this process as a client before the run relies on it.
  await (await openConnection(uri, { callTimeoutMs: guestMs })).close();
  process.stdout.write('ready\n');
  const timers = new Timers(() => void restore(runPath));
  for await (const line of createInterface({ input: process.stdin })) {
    const message = JSON.parse(line) as Message;
    if (message.type === 'released') return timers.stopAll();
    if (message.type === 'undone') timers.stop(message.act);
    else timers.start(message.act, message.act === freeze.name ? freezeMs : guestMs);
  }
  timers.stopAll();
  await restore(runPath);
}

async function restore(runPath: string): Promise<void> {
  for (let attempt = 0; attempt < RESTORE_TRIES; attempt += 1) {
    if (await isWhole(runPath)) return;
    await sleep(RESTORE_PAUSE_MS);
  }
}

/** NOTE: nobody reads what this process says; what it could not do stands in the journal. */
async function isWhole(runPath: string): Promise<boolean> {
  try {
    return (await restoreGuest(runPath, () => undefined)).length === 0;
  } catch (error) {
    // The folder is gone: the run has ended well after all.
    return error instanceof Error && 'code' in error && error.code === 'ENOENT';
  }
}

/** One deadline for each act that is pending. */
class Timers {
  readonly #onLate: () => void;
  readonly #timers = new Map<string, NodeJS.Timeout>();

  constructor(onLate: () => void) {
    this.#onLate = onLate;
  }

  start(act: string, ms: number): void {
    this.stop(act);
    this.#timers.set(act, setTimeout(this.#onLate, ms));
  }

  stop(act: string): void {
    clearTimeout(this.#timers.get(act));
    this.#timers.delete(act);
  }

  stopAll(): void {
    for (const act of [...this.#timers.keys()]) this.stop(act);
  }
}
