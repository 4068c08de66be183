// The run's side of the guard: a small process that puts the guest back if this one cannot.
import { type ChildProcess, spawn } from 'node:child_process';
import { once } from 'node:events';
import { fileURLToPath } from 'node:url';
import { PublishError } from '../errors.ts';
import { withTimeLimit } from '../time-limit.ts';
import type { Journal } from './journal.ts';

export interface GuardOptions {
  /** The run's folder, with its journal. */
  runPath: string;
  /** How long the guest may stay frozen before the guard thaws it. */
  freezeMs: number;
  /** How long any act on the guest may stay pending before the guard puts the guest back. */
  guestMs: number;
}

export interface Guard {
  /** The guest is whole: the guard ends and does nothing. */
  release(): Promise<void>;
  /** The guest is not whole, and this process can do no more: the guard goes on trying. */
  abandon(): void;
  /** The guest stands still, and this process goes on: the guard puts it back when it runs again. */
  stay(): void;
}

/** A guard that comes up, or is up, and has no run yet. */
export interface SpareGuard {
  /**
   * Gives it the run of this journal and waits until it is ready. It is told of each entry; when
   * the pipe to it breaks, this process is dead. `onLost` is called where it ends before it was
   * released.
   * @throws PublishError LIBVIRT where it does not come up.
   */
  watch(journal: Journal, options: GuardOptions, onLost: (message: string) => void): Promise<Guard>;
  /** It is not needed (any more); nothing where it watches a run. */
  dismiss(): void;
}

const START_MS = 15_000;
const END_MS = 5_000;

/**
 * Starts the guard, which takes a third of a second to come up: long before the first act.
 *
 * NOTE: the guard is the leader of a session of its own, so that a Ctrl-C or a hang-up that ends
 * this process group does not reach it.
 */
export function spawnGuard(uri: string): SpareGuard {
  const spare = start(uri);
  let isSpare = true;
  return {
    watch: (...given) => {
      isSpare = false;
      // The wait may have been long, and what ended it no reason to fail.
      return watch(hasEnded(spare) ? start(uri) : spare, ...given);
    },
    dismiss: () => {
      if (isSpare) endSpare(spare);
    },
  };
}

function start(uri: string): ChildProcess {
  const main = fileURLToPath(new URL('../run/guard-main.js', import.meta.url));
  const child = spawn(process.execPath, [main, uri], {
    detached: true,
    stdio: ['pipe', 'pipe', 'ignore'],
  });
  // A guard that has died must not take this process with it: EPIPE is an event, not an exception.
  child.stdin?.on('error', () => child.stdin?.destroy());
  // One that could not be started is found out when it is given a run.
  child.on('error', () => undefined);
  return child;
}

/** NOTE: by force: it has nothing to do, listens to no other signal, and may hang in libvirt's answer. */
function endSpare(child: ChildProcess): void {
  child.unref();
  child.kill('SIGKILL');
}

async function watch(
  child: ChildProcess,
  ...[journal, options, onLost]: Parameters<SpareGuard['watch']>
): Promise<Guard> {
  tell(child, options);
  await awaitReady(child);
  const tellLost = () => onLost(LOST);
  child.once('exit', tellLost);
  child.unref();
  journal.onWritten((entry) => {
    if (entry.type === 'intent' || entry.type === 'undone') tell(child, entry);
  });
  await journal.reach('guard', { pid: child.pid ?? null });
  const stopListening = () => child.off('exit', tellLost);
  return {
    release: () => {
      stopListening();
      return release(child);
    },
    abandon: () => {
      stopListening();
      child.stdin?.end();
    },
    stay: () => {
      stopListening();
      child.stdin?.end(`${JSON.stringify({ type: 'parked' })}\n`);
    },
  };
}

const LOST =
  'the guard process has ended before its time. The run goes on; if it is killed now, run virt-publish recover';

async function awaitReady(child: ChildProcess): Promise<void> {
  if (await withTimeLimit({ ms: START_MS }, (deadline) => isReady(child, deadline))) return;
  child.kill('SIGKILL');
  throw notStarted();
}

async function isReady(child: ChildProcess, deadline: AbortSignal): Promise<boolean> {
  if (hasEnded(child)) return false;
  try {
    const ready = once(child.stdout ?? child, 'data', { signal: deadline });
    const ended = once(child, 'exit', { signal: deadline }).then(() => undefined);
    return (await Promise.race([ready, ended])) !== undefined;
  } catch (error) {
    if (!deadline.aborted) throw error;
    return false;
  }
}

function hasEnded({ pid, exitCode, signalCode }: ChildProcess): boolean {
  return pid === undefined || exitCode !== null || signalCode !== null;
}

function notStarted(): PublishError {
  return new PublishError(
    'LIBVIRT',
    'the guard process, which puts the guest back if this one dies, did not start; nothing was touched. See whether libvirt accepts one more connection, and try again',
    { step: 'inspect', retryable: true },
  );
}

function tell(child: ChildProcess, message: object): void {
  if (child.stdin?.writable) child.stdin.write(`${JSON.stringify(message)}\n`);
}

async function release(child: ChildProcess): Promise<void> {
  if (hasEnded(child)) return;
  child.ref();
  try {
    await withTimeLimit({ ms: END_MS }, async (deadline) => {
      const ended = once(child, 'exit', { signal: deadline });
      child.stdin?.end(`${JSON.stringify({ type: 'released' })}\n`);
      await ended;
    });
  } catch {
    // It has been told; a guard that is stuck can do no more than end later.
    child.unref();
  }
}
