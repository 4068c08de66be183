// A wait that ends: with its work, at its deadline, or with the caller's signal; what hangs then is left behind.
import type { PublishError } from './errors.ts';
import { withTimeLimit } from './time-limit.ts';

export interface TimeLimits {
  timeoutMs: number;
  signal: AbortSignal;
}

/**
 * Settles with `work`, whose signal fires at the deadline and with the caller's.
 * NOTE: a file system call cannot be ended, and storage that is gone never answers.
 * @throws what `work` throws; what `late` makes at the deadline; the signal's reason.
 */
export async function inTime<T>(
  { timeoutMs, signal, late }: TimeLimits & { late: () => PublishError },
  work: (signal: AbortSignal) => Promise<T>,
): Promise<T> {
  signal.throwIfAborted();
  return withTimeLimit({ ms: timeoutMs, signal, late }, async (over) => {
    const stopped = new Promise<never>((_resolve, reject) => {
      over.addEventListener('abort', () => reject(over.reason));
    });
    try {
      return await Promise.race([work(over), stopped]);
    } catch (error) {
      throw over.aborted ? over.reason : error;
    }
  });
}
