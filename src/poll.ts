// Waiting for what has no event: ask again until it holds, the deadline comes, or somebody cancels.
import { setTimeout as sleep } from 'node:timers/promises';

export interface PollOptions {
  timeoutMs: number;
  pollMs: number;
  signal?: AbortSignal;
}

/**
 * Asks until `holds` resolves to true. The first pauses are short and double up to `pollMs`, so
 * that what is quick costs no full pause.
 * @returns false where the deadline came first.
 * @throws the signal's reason, or what `holds` throws.
 */
export async function pollUntil(
  holds: () => Promise<boolean>,
  { timeoutMs, pollMs, signal }: PollOptions,
): Promise<boolean> {
  const deadline = performance.now() + timeoutMs;
  for (let pauseMs = 5; ; pauseMs = Math.min(pauseMs * 2, pollMs)) {
    signal?.throwIfAborted();
    if (await holds()) return true;
    if (performance.now() >= deadline) return false;
    await pause(pauseMs, signal);
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
