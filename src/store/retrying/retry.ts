// The only owner of retries: every request to a store that may be retried goes through here.
import pRetry from 'p-retry';
import { interruption, throwIfInterrupted } from '../../core/deadline.ts';
import { PublishError, type Step } from '../../core/errors.ts';

export interface RetryPolicy {
  /** Attempts after the first one. */
  retries: number;
  retryMinMs: number;
  retryMaxMs: number;
  /** Called once, while there is no result after two seconds, with what the last try failed with. */
  onWait?: ((failure: unknown) => void) | undefined;
}

const WAIT_MS = 2000;

export const NO_RETRIES: RetryPolicy = { retries: 0, retryMinMs: 0, retryMaxMs: 0 };

/**
 * Runs `attempt` again, after a growing and random pause, for as long as it fails with an error
 * that is `retryable`. `attempt` gets its number, from 1.
 * @throws what the last attempt threw; INTERRUPTED if the signal fired.
 */
export async function withRetries<T>(
  policy: RetryPolicy,
  { signal, step }: { signal?: AbortSignal | undefined; step: Step },
  attempt: (attemptNumber: number) => Promise<T>,
): Promise<T> {
  throwIfInterrupted(signal, step);
  let failure: unknown;
  const tried = async (n: number) => {
    try {
      return await attempt(n);
    } catch (error) {
      failure = error;
      throw error;
    }
  };
  const { onWait } = policy;
  if (onWait === undefined) return retry(policy, { signal, step }, attempt);
  const timer = setTimeout(() => onWait(failure), WAIT_MS);
  try {
    return await retry(policy, { signal, step }, tried);
  } finally {
    clearTimeout(timer);
  }
}

async function retry<T>(
  policy: RetryPolicy,
  { signal, step }: { signal?: AbortSignal | undefined; step: Step },
  attempt: (attemptNumber: number) => Promise<T>,
): Promise<T> {
  // NOTE: nearly every first try works, and a listing makes ten thousand of them.
  let first: unknown;
  try {
    return await attempt(1);
  } catch (error) {
    if (!isRetryable(error) || signal?.aborted) throw errorToThrow(error, signal, step);
    first = error;
  }
  const again = (n: number) => (n === 1 ? Promise.reject(first) : attempt(n));
  try {
    return await pRetry(again, {
      retries: policy.retries,
      minTimeout: policy.retryMinMs,
      maxTimeout: policy.retryMaxMs,
      randomize: true,
      signal,
      shouldRetry: ({ error }) => isRetryable(error) && !signal?.aborted,
    });
  } catch (error) {
    throw errorToThrow(error, signal, step);
  }
}

function errorToThrow(error: unknown, signal: AbortSignal | undefined, step: Step): unknown {
  return signal?.aborted && !(error instanceof PublishError) ? interruption(signal, step) : error;
}

function isRetryable(error: unknown): boolean {
  return error instanceof PublishError && error.retryable;
}
