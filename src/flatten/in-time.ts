// A wait that ends: with its work, at its deadline, or with the caller's signal; what hangs then is left behind.
import type { PublishError } from '../errors.ts';

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
  const over = new AbortController();
  const stopped = new Promise<never>((_resolve, reject) => {
    over.signal.addEventListener('abort', () => reject(over.signal.reason));
  });
  // The signal outlives this work, and is not to keep all that listened.
  const onAbort = () => over.abort(signal.reason);
  signal.addEventListener('abort', onAbort);
  const timer = setTimeout(() => over.abort(late()), timeoutMs);
  try {
    return await Promise.race([work(over.signal), stopped]);
  } catch (error) {
    throw over.signal.aborted ? over.signal.reason : error;
  } finally {
    clearTimeout(timer);
    signal.removeEventListener('abort', onAbort);
  }
}
