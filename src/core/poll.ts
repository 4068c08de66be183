// Waiting for what has no event: ask again until it holds, the deadline comes, or somebody cancels.
import { setTimeout as sleep } from 'node:timers/promises';

const SHORTEST_MS = 5;

export interface PollOptions {
  timeoutMs: number;
  pollMs: number;
  signal?: AbortSignal;
}

/**
 * Asks until `holds` resolves to true. A pause is a twentieth of what was waited so far, `pollMs`
 * at most, so that what is quick costs no full pause.
 * @returns false where the deadline came first.
 * @throws the signal's reason, or what `holds` throws.
 */
export async function pollUntil(
  holds: () => Promise<boolean>,
  { timeoutMs, pollMs, signal }: PollOptions,
): Promise<boolean> {
  const begun = performance.now();
  for (;;) {
    signal?.throwIfAborted();
    if (await holds()) return true;
    const waited = performance.now() - begun;
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
 * Calls `work` at intervals, and never while an earlier call still runs: on a file system that hangs
 * each call would keep one more thread of Node's pool. It does not keep the process alive.
 * @returns what ends it.
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
