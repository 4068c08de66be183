// A wait that ends: on its own, at its deadline, or with the caller's signal.
import { setMaxListeners } from 'node:events';
import { PublishError, type Step } from '../errors.ts';

export interface DeadlineOptions {
  /** What is waited for, as the subject of "gave no answer within 60 s". */
  what: string;
  ms: number;
  step: Step;
  signal?: AbortSignal | undefined;
}

/**
 * Runs `work` with a signal that fires at the deadline or with the caller's signal. What `work`
 * throws after that is replaced by the reason.
 * @throws REGISTRY or UPLOAD (by the step; retryable) at the deadline, INTERRUPTED on the signal.
 */
export async function withDeadline<T>(
  options: DeadlineOptions,
  work: (signal: AbortSignal) => Promise<T>,
): Promise<T> {
  const { signal, step } = options;
  throwIfInterrupted(signal, step);
  // NOTE: one controller a call and not AbortSignal.any: on Node 20 what `any` makes stays
  // reachable from a long-lived signal, and an upload makes 10,000 of them.
  const controller = new AbortController();
  const onAbort = () => controller.abort(interruption(signal, step));
  const timer = setTimeout(() => controller.abort(deadlineError(options)), options.ms);
  // Many requests at once listen to one signal, and each takes its listener away again.
  if (signal !== undefined) setMaxListeners(0, signal);
  signal?.addEventListener('abort', onAbort, { once: true });
  try {
    return await work(controller.signal);
  } catch (error) {
    throw controller.signal.aborted ? controller.signal.reason : error;
  } finally {
    clearTimeout(timer);
    signal?.removeEventListener('abort', onAbort);
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

function deadlineError({ what, ms, step }: DeadlineOptions): PublishError {
  const message = `${what} gave no answer within ${ms / 1000} s.`;
  return new PublishError(step === 'upload' ? 'UPLOAD' : 'REGISTRY', message, {
    step,
    retryable: true,
  });
}
