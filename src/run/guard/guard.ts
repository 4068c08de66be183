// The run's side of the guard: starts the process that restores the guest if this one cannot.
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
  /** The guest is restored: the guard ends without an act. */
  release(): Promise<void>;
  /** This process could not restore the guest: the guard keeps trying. */
  handOver(): void;
  /** The guest does not run, and this process continues: the guard restores the guest when it runs again. */
  handOverParked(): void;
}

/** A guard that has no run yet. */
export interface SpareGuard {
  /**
   * Gives it the run of this journal and waits until it is ready. It then receives each entry; when
   * the pipe closes, it takes this process for dead. `onLost` is called if it ends before its release.
   * @throws PublishError LIBVIRT if it does not start.
   */
  watch(journal: Journal, options: GuardOptions, onLost: (message: string) => void): Promise<Guard>;
  /** Ends it, unless it watches a run. */
  dismiss(): void;
}

const START_MS = 15_000;
const END_MS = 5_000;

/**
 * Starts the guard. It needs a third of a second to start, so it is started long before the first act.
 *
 * NOTE: the guard has a session of its own, so a Ctrl-C or a hang-up of this process group does not
 * reach it. Under systemd it also has a cgroup of its own.
 */
export function spawnGuard(uri: string): SpareGuard {
  let spare = start(scopedGuardCommand(uri) ?? guardCommand(uri));
  let isSpare = true;
  return {
    watch: async (...given) => {
      isSpare = false;
      // The guard may have ended during a long wait, which is no reason to fail.
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
  // A guard that died must not end this process: with a listener, EPIPE is no exception.
  child.stdin?.on('error', () => child.stdin?.destroy());
  // A guard that could not be started is detected when it is given a run.
  child.on('error', () => undefined);
  return child;
}

/** NOTE: SIGKILL, since a guard ignores the other signals and may hang in a libvirt call. */
function endSpare(child: ChildProcess): void {
  child.unref();
  child.kill('SIGKILL');
}

/** Resolves to undefined if the guard does not start. */
async function tryToWatch(
  child: ChildProcess,
  [journal, options, onLost]: Parameters<SpareGuard['watch']>,
): Promise<Guard | undefined> {
  const { facts } = journal;
  if (!facts) throw new Error('a journal without its first entry cannot be watched');
  post(child, { ...options, facts } satisfies WatchedRun);
  if (!(await isReady(child))) return undefined;
  const reportLost = () => onLost(LOST);
  child.once('exit', reportLost);
  listen(child, options.runPath);
  child.unref();
  journal.onWritten((_, entry) => {
    if (entry.type !== 'run' && entry.type !== 'point') post(child, entry);
  });
  await journal.checkpoint('guard', { pid: child.pid ?? null });
  const stopListening = () => child.off('exit', reportLost);
  return {
    release: () => {
      stopListening();
      return release(child);
    },
    handOver: () => {
      stopListening();
      child.stdin?.end();
    },
    handOverParked: () => {
      stopListening();
      child.stdin?.end(`${JSON.stringify({ type: 'parked' })}\n`);
    },
  };
}

/** Listens for the message that the guard acted for this process; a full disk may keep it out of the journal. */
function listen({ stdout }: ChildProcess, runPath: string): void {
  stdout?.setEncoding('utf8').on('data', (text: string) => {
    if (text.includes(TOOK_OVER)) noteTakenOver(runPath);
  });
  if (stdout instanceof Socket) stdout.unref();
}

const LOST =
  'the guard process has ended too early; the run continues, and if it is killed now, run virt-publish recover';

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
    'cannot start the guard process, which restores the guest if this process dies; the guest was not touched',
    {
      step: 'inspect',
      retryable: true,
      hint: 'check that libvirt accepts one more connection (max_clients), then retry',
    },
  );
}

function post(child: ChildProcess, message: object): void {
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
    // The guard has the message; one that hangs ends later.
    child.unref();
  }
}
