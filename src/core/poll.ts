// Polls a condition that has no event, and repeats work at intervals.
import { setTimeout as sleep } from 'node:timers/promises';

const SHORTEST_MS = 5;

export interface PollOptions {
  timeoutMs: number;
  pollMs: number;
  signal?: AbortSignal;
}

/**
 * Calls `holds` until it resolves to true. Returns false if the deadline comes first. A pause is a
 * twentieth of the time waited so far, `pollMs` at most, so that a quick change costs no full pause.
 * @throws the signal's reason; the error of `holds`.
 */
export async function pollUntil(
  holds: () => Promise<boolean>,
  { timeoutMs, pollMs, signal }: PollOptions,
): Promise<boolean> {
  const startedAt = performance.now();
  for (;;) {
    signal?.throwIfAborted();
    if (await holds()) return true;
    const waited = performance.now() - startedAt;
    if (waited >= timeoutMs) return false;
    await pause(Math.min(Math.max(SHORTEST_MS, waited / 20), pollMs), signal);
  }
}

async function pause(ms: number, signal: AbortSignal | undefined): Promise<void> {
  try {
    await sleep(ms, undefined, signal ? { signal } : {});
  } catch (error) {
    signal?.throwIfAborted();
    throw error;
  }
}

export interface RepeatOptions {
  everyMs: number;
  onError: (error: unknown) => void;
}

/**
 * Calls `work` at intervals, never while an earlier call still runs: on a file system that hangs each
 * call would block one more thread of Node's pool. Returns a function that stops it. It does not keep
 * the process alive.
 */
export function repeat(work: () => Promise<void>, { everyMs, onError }: RepeatOptions): () => void {
  let isRunning = false;
  const timer = setInterval(() => {
    if (isRunning) return;
    isRunning = true;
    work()
      .catch(onError)
      .finally(() => {
        isRunning = false;
      });
  }, everyMs);
  timer.unref();
  return () => clearInterval(timer);
}
