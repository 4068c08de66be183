// The run's side of the guard: a small process that puts the guest back if this one cannot.
import { type ChildProcess, spawn } from 'node:child_process';
import { once } from 'node:events';
import { fileURLToPath } from 'node:url';
import { PublishError } from '../errors.ts';
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
}

const START_MS = 15_000;
const END_MS = 5_000;

/**
 * Starts the guard and waits until it has its own connection to libvirt. It is told of each entry
 * of the journal; when the pipe to it breaks, this process is dead. `onLost` is called where it
 * ends before it was released.
 *
 * NOTE: the guard is the leader of a session of its own, so that a Ctrl-C or a hang-up that ends
 * this process group does not reach it.
 * @throws PublishError LIBVIRT where it does not come up.
 */
export async function startGuard(
  journal: Journal,
  options: GuardOptions,
  onLost: (message: string) => void,
): Promise<Guard> {
  const main = fileURLToPath(new URL('./guard-main.js', import.meta.url));
  const child = spawn(process.execPath, [main, JSON.stringify(options)], {
    detached: true,
    stdio: ['pipe', 'pipe', 'ignore'],
  });
  // A guard that has died must not take this process with it: EPIPE is an event, not an exception.
  child.stdin?.on('error', () => child.stdin?.destroy());
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
  };
}

const LOST =
  'the guard process has ended before its time. The run goes on; if it is killed now, run virt-publish recover';

async function awaitReady(child: ChildProcess): Promise<void> {
  const deadline = AbortSignal.timeout(START_MS);
  try {
    const ready = once(child.stdout ?? child, 'data', { signal: deadline });
    const ended = once(child, 'exit', { signal: deadline }).then(() => undefined);
    if ((await Promise.race([ready, ended])) !== undefined) return;
  } catch (error) {
    if (!deadline.aborted) throw error;
  }
  child.kill('SIGKILL');
  throw new PublishError(
    'LIBVIRT',
    'the guard process, which puts the guest back if this one dies, did not start; nothing was touched. See whether libvirt accepts one more connection, and try again',
    { step: 'inspect', retryable: true },
  );
}

function tell(child: ChildProcess, message: object): void {
  if (child.stdin?.writable) child.stdin.write(`${JSON.stringify(message)}\n`);
}

async function release(child: ChildProcess): Promise<void> {
  if (child.exitCode !== null || child.signalCode !== null) return;
  const ended = once(child, 'exit', { signal: AbortSignal.timeout(END_MS) });
  child.ref();
  child.stdin?.end(`${JSON.stringify({ type: 'released' })}\n`);
  try {
    await ended;
  } catch {
    // It has been told; a guard that is stuck can do no more than end later.
    child.unref();
  }
}
