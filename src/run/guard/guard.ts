// The run's side of the guard: a small process that puts the guest back if this one cannot.
import { type ChildProcess, spawn } from 'node:child_process';
import { once } from 'node:events';
import { Socket } from 'node:net';
import { PublishError } from '../../core/errors.ts';
import { withTimeLimit } from '../../core/time-limit.ts';
import type { Journal } from '../journal/journal.ts';
import { type GuardCommand, guardCommand, scopedGuardCommand } from './guard-command.ts';
import { TOOK_OVER, type WatchedRun } from './guard-protocol.ts';
import { noteTakenOver } from './take-over.ts';

export type GuardOptions = Omit<WatchedRun, 'facts'>;

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
 * this process group does not reach it; and, under systemd, of a cgroup of its own.
 */
export function spawnGuard(uri: string): SpareGuard {
  let spare = start(scopedGuardCommand(uri) ?? guardCommand(uri));
  let isSpare = true;
  return {
    watch: async (...given) => {
      isSpare = false;
      // The wait may have been long, and what ended it no reason to fail.
      const first = hasEnded(spare) ? undefined : await tryToWatch(spare, given);
      if (first) return first;
      spare = start(guardCommand(uri));
      const second = await tryToWatch(spare, given);
      if (second) return second;
      throw notStarted();
    },
    dismiss: () => {
      if (isSpare) endSpare(spare);
    },
  };
}

function start([program, ...args]: GuardCommand): ChildProcess {
  const child = spawn(program, args, { detached: true, stdio: ['pipe', 'pipe', 'ignore'] });
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

/** Undefined if it does not come up. */
async function tryToWatch(
  child: ChildProcess,
  [journal, options, onLost]: Parameters<SpareGuard['watch']>,
): Promise<Guard | undefined> {
  const { facts } = journal;
  if (!facts) throw new Error('a journal without its first entry cannot be watched');
  tell(child, { ...options, facts } satisfies WatchedRun);
  if (!(await isReady(child))) return undefined;
  const tellLost = () => onLost(LOST);
  child.once('exit', tellLost);
  listen(child, options.runPath);
  child.unref();
  journal.onWritten((_, entry) => {
    if (entry.type !== 'run' && entry.type !== 'point') tell(child, entry);
  });
  await journal.checkpoint('guard', { pid: child.pid ?? null });
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

/** What it says later: that it acted for this process, which hung. The journal may not hold that. */
function listen({ stdout }: ChildProcess, runPath: string): void {
  stdout?.setEncoding('utf8').on('data', (text: string) => {
    if (text.includes(TOOK_OVER)) noteTakenOver(runPath);
  });
  if (stdout instanceof Socket) stdout.unref();
}

const LOST =
  'the guard process has ended before its time. The run goes on; if it is killed now, run virt-publish recover';

async function isReady(child: ChildProcess): Promise<boolean> {
  const late = new AbortController();
  const timer = setTimeout(() => late.abort(), START_MS);
  try {
    if (hasEnded(child)) return false;
    const ready = once(child.stdout ?? child, 'data', { signal: late.signal });
    const ended = once(child, 'exit', { signal: late.signal }).then(() => undefined);
    if ((await Promise.race([ready, ended])) !== undefined) return true;
  } catch (error) {
    if (!late.signal.aborted && !hasEnded(child)) throw error;
  } finally {
    clearTimeout(timer);
  }
  child.kill('SIGKILL');
  return false;
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
