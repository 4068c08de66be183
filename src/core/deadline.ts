// A wait that ends: on its own, at its deadline, or with the caller's signal.
import { setMaxListeners } from 'node:events';
import { PublishError, type Step } from './errors.ts';

export interface DeadlineOptions {
  /** What is waited for, as the subject of "gave no answer within 60 s". */
  what: string;
  ms: number;
  step: Step;
  signal?: AbortSignal | undefined;
}

/** What `work` has, after its signal fired, to come to its end by itself. */
const GRACE_MS = 1000;

/**
 * Runs `work` with a signal that fires at the deadline or with the caller's signal. What `work`
 * throws after that is replaced by the reason. Work that is deaf to its signal (the SDK, while a
 * `credential_process` hangs) is waited for a second longer, and then no more.
 * @throws REGISTRY or UPLOAD (by the step; retryable) at the deadline, INTERRUPTED on the signal.
 */
export async function withDeadline<T>(
  options: DeadlineOptions,
  work: (signal: AbortSignal) => Promise<T>,
): Promise<T> {
  const { signal, step } = options;
  throwIfInterrupted(signal, step);
  // NOTE: one controller a call and not AbortSignal.any: what `any` returns stays reachable from a
  // long-lived signal (measured on Node 22.23 and 26.12: 1 KiB each), and an upload makes 10,000.
  const controller = new AbortController();
  const grace = graceOf(controller.signal);
  const stop = (reason: PublishError) => {
    controller.abort(reason);
    grace.begin();
  };
  const onAbort = () => stop(interruption(signal, step));
  const timer = setTimeout(() => stop(deadlineError(options)), options.ms);
  // Many requests at once listen to one signal, and each takes its listener away again.
  if (signal !== undefined) setMaxListeners(0, signal);
  signal?.addEventListener('abort', onAbort, { once: true });
  try {
    return await Promise.race([work(controller.signal), grace.over]);
  } catch (error) {
    throw controller.signal.aborted ? controller.signal.reason : error;
  } finally {
    clearTimeout(timer);
    grace.cancel();
    signal?.removeEventListener('abort', onAbort);
  }
}

/**
 * Waits for a promise that cannot be cancelled, no longer than until the signal fires. Whatever
 * comes of it afterwards is dropped.
 * @throws INTERRUPTED, or the signal's reason where that is one of our errors.
 */
export async function unlessAborted<T>(
  promise: Promise<T>,
  signal: AbortSignal | undefined,
  step: Step,
): Promise<T> {
  // Also where nobody comes to wait for it.
  promise.catch(() => undefined);
  throwIfInterrupted(signal, step);
  if (signal === undefined) return promise;
  let onAbort = (): void => undefined;
  const aborted = new Promise<never>((_resolve, reject) => {
    onAbort = () => reject(interruption(signal, step));
  });
  signal.addEventListener('abort', onAbort, { once: true });
  try {
    return await Promise.race([promise, aborted]);
  } finally {
    signal.removeEventListener('abort', onAbort);
  }
}

/** @throws INTERRUPTED where the signal has fired. */
export function throwIfInterrupted(signal: AbortSignal | undefined, step: Step): void {
  if (signal?.aborted) throw interruption(signal, step);
}

/** What a fired signal means as an error: its own reason where that is one of ours. */
export function interruption(signal: AbortSignal | undefined, step: Step): PublishError {
  const reason: unknown = signal?.reason;
  if (reason instanceof PublishError) return reason;
  return new PublishError('INTERRUPTED', 'Interrupted.', { step, cause: reason });
}

function graceOf(signal: AbortSignal): {
  over: Promise<never>;
  begin: () => void;
  cancel: () => void;
} {
  let timer: NodeJS.Timeout | undefined;
  let giveUp = (): void => undefined;
  const over = new Promise<never>((_resolve, reject) => {
    giveUp = () => reject(signal.reason);
  });
  const begin = () => {
    timer ??= setTimeout(giveUp, GRACE_MS);
  };
  return { over, begin, cancel: () => clearTimeout(timer) };
}

function deadlineError({ what, ms, step }: DeadlineOptions): PublishError {
  const message = `${what} gave no answer within ${ms / 1000} s; see whether the server is well, or raise timeouts.${step === 'upload' || step === 'pull' ? 'partMs' : 'requestMs'}`;
  return new PublishError(step === 'upload' ? 'UPLOAD' : 'REGISTRY', message, {
    step,
    retryable: true,
  });
}
