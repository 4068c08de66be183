// A wait that ends: on its own, at its deadline, or with the caller's signal.
import { PublishError, type Step } from './errors.ts';
import { orAbandon, withTimeLimit } from './time-limit.ts';

export interface DeadlineOptions {
  /** What is waited for, as the subject of "gave no answer within 60 s". */
  what: string;
  ms: number;
  step: Step;
  signal?: AbortSignal | undefined;
}

/** How long `work` may continue after its signal aborted. */
const GRACE_MS = 1000;

/**
 * Runs `work` with a signal that aborts at the deadline or with the caller's signal. What `work`
 * throws after that is replaced by the reason. Work that ignores its signal (the SDK, while a
 * `credential_process` hangs) is waited for a second longer, then left behind.
 * @throws REGISTRY or UPLOAD (by the step; retryable) at the deadline, INTERRUPTED on the signal.
 */
export async function withDeadline<T>(
  options: DeadlineOptions,
  work: (signal: AbortSignal) => Promise<T>,
): Promise<T> {
  const { ms, signal, step } = options;
  throwIfInterrupted(signal, step);
  const late = () => deadlineError(options);
  const interrupted = () => interruption(signal, step);
  return withTimeLimit({ ms, signal, late, interrupted }, (limited) =>
    orAbandon(work, limited, GRACE_MS),
  );
}

/**
 * Waits for a promise that cannot be cancelled, until the signal aborts. Its result after that is
 * dropped.
 * @throws INTERRUPTED, or the signal's reason if that is a PublishError.
 */
export async function unlessAborted<T>(
  promise: Promise<T>,
  signal: AbortSignal | undefined,
  step: Step,
): Promise<T> {
  // It may reject after this function has thrown.
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

/** @throws INTERRUPTED if the signal has aborted. */
export function throwIfInterrupted(signal: AbortSignal | undefined, step: Step): void {
  if (signal?.aborted) throw interruption(signal, step);
}

/** Returns the error of an aborted signal: its reason if that is a PublishError, else INTERRUPTED. */
export function interruption(signal: AbortSignal | undefined, step: Step): PublishError {
  const reason: unknown = signal?.reason;
  if (reason instanceof PublishError) return reason;
  return new PublishError('INTERRUPTED', 'the work was interrupted', { step, cause: reason });
}

function deadlineError({ what, ms, step }: DeadlineOptions): PublishError {
  const key = step === 'upload' || step === 'pull' ? 'partMs' : 'requestMs';
  const hint = `check whether the server works, or raise timeouts.${key}`;
  const message = `${what} gave no answer within ${ms / 1000} s`;
  return new PublishError(step === 'upload' ? 'UPLOAD' : 'REGISTRY', message, {
    ...{ step, hint, retryable: true },
  });
}
