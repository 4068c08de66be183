// Waits that end: with their work, at a deadline, or with the caller's signal.
import { setMaxListeners } from 'node:events';
import type { PublishError } from './errors.ts';

export interface TimeLimit {
  ms: number;
  /** The caller's signal. */
  signal?: AbortSignal | undefined;
  /** Makes the reason at the deadline; a `TimeoutError` if left out. */
  late?: () => Error;
  /** Makes the reason when the caller's signal aborts; that signal's own reason if left out. */
  interrupted?: () => unknown;
}

/** The longest delay of a timer: Node fires a longer one after 1 ms. */
const MAX_TIMER_MS = 2 ** 31 - 1;

/**
 * Calls `work` with a signal that aborts after `ms`, or with the caller's signal. Settles with
 * `work`, which must obey the signal. The timer keeps the process alive until then.
 *
 * NOTE: not `AbortSignal.any`: what it returns stays reachable from a long-lived `signal` (measured
 * on Node 22.23 and 26.12).
 */
export async function withTimeLimit<T>(
  { ms, signal, late = timeoutError, interrupted }: TimeLimit,
  work: (limited: AbortSignal) => Promise<T>,
): Promise<T> {
  const limited = new AbortController();
  const onAbort = () => limited.abort(interrupted ? interrupted() : signal?.reason);
  const timer = setTimeout(() => limited.abort(late()), Math.min(ms, MAX_TIMER_MS));
  if (signal?.aborted) onAbort();
  // Many concurrent requests listen to one signal; Node reports more than ten listeners as a leak.
  if (signal !== undefined) setMaxListeners(0, signal);
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

export interface TimeLimits {
  timeoutMs: number;
  signal: AbortSignal;
}

/**
 * Settles with `work`, whose signal aborts at the deadline and with the caller's signal. Work that
 * hangs after that is left behind.
 * NOTE: a file system call cannot be cancelled, and a storage that is lost never answers.
 * @throws what `work` throws; what `late` makes at the deadline; the signal's reason.
 */
export async function inTime<T>(
  { timeoutMs, signal, late }: TimeLimits & { late: () => PublishError },
  work: (signal: AbortSignal) => Promise<T>,
): Promise<T> {
  signal.throwIfAborted();
  return withTimeLimit({ ms: timeoutMs, signal, late }, (limited) => orAbandon(work, limited, 0));
}

/**
 * Settles with `work`, but not later than `graceMs` after the signal aborts: then with its reason.
 * What `work` throws after the abort is replaced by the reason.
 */
export async function orAbandon<T>(
  work: (signal: AbortSignal) => Promise<T>,
  signal: AbortSignal,
  graceMs: number,
): Promise<T> {
  let timer: NodeJS.Timeout | undefined;
  const abandoned = new Promise<never>((_resolve, reject) => {
    const abandon = () => reject(signal.reason);
    const onAbort = () => {
      if (graceMs === 0) abandon();
      else timer = setTimeout(abandon, graceMs);
    };
    signal.addEventListener('abort', onAbort, { once: true });
    if (signal.aborted) onAbort();
  });
  try {
    return await Promise.race([work(signal), abandoned]);
  } catch (error) {
    throw signal.aborted ? signal.reason : error;
  } finally {
    clearTimeout(timer);
  }
}

/** Resolves to what `work` resolves to; to `otherwise` if it fails or takes longer than `ms`. */
export async function valueInTime<T>(work: Promise<T>, otherwise: T, ms: number): Promise<T> {
  return withTimeLimit({ ms }, (limited) => orAbandon(() => work, limited, 0)).catch(
    () => otherwise,
  );
}
