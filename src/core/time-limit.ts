// A signal that aborts at a deadline, or earlier with the caller's signal.

export interface TimeLimit {
  ms: number;
  /** The caller's; its reason is passed on. */
  signal?: AbortSignal | undefined;
  /** Makes the reason at the deadline; a `TimeoutError` if left out. */
  late?: () => Error;
}

/** The longest delay of a timer: Node fires a longer one after 1 ms. */
const MAX_TIMER_MS = 2 ** 31 - 1;

/**
 * Calls `work` with a signal that aborts after `ms`, or with the caller's signal. Settles as `work`
 * does, which must obey the signal. The timer keeps the process alive until then.
 *
 * NOTE: not `AbortSignal.any`: what it returns stays reachable from a long-lived `signal` (measured
 * on Node 22.23 and 26.12).
 */
export async function withTimeLimit<T>(
  { ms, signal, late = timeoutError }: TimeLimit,
  work: (limited: AbortSignal) => Promise<T>,
): Promise<T> {
  const limited = new AbortController();
  const onAbort = () => limited.abort(signal?.reason);
  const timer = setTimeout(() => limited.abort(late()), Math.min(ms, MAX_TIMER_MS));
  if (signal?.aborted) onAbort();
  signal?.addEventListener('abort', onAbort, { once: true });
  try {
    return await work(limited.signal);
  } finally {
    clearTimeout(timer);
    signal?.removeEventListener('abort', onAbort);
  }
}

function timeoutError(): Error {
  return new DOMException('the time limit is over', 'TimeoutError');
}
