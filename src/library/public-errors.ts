// Makes every rejection of the library a PublishError, and every cancellation an INTERRUPTED one.
import { setMaxListeners } from 'node:events';
import { codeOf, messageOf, PublishError } from '../core/errors.ts';

/**
 * Runs `work` with a signal of its own, which follows the caller's.
 * @throws PublishError; INTERRUPTED with the reason of the caller's signal as its cause after that fired
 */
export async function withPublicErrors<T>(
  caller: AbortSignal | undefined,
  work: (signal: AbortSignal) => Promise<T>,
): Promise<T> {
  const { signal, release } = follow(caller);
  try {
    signal.throwIfAborted();
    return await work(signal);
  } catch (error) {
    throw toPublishError(error, signal);
  } finally {
    release();
  }
}

/** Yields what `list` does. @throws what `withPublicErrors` throws, for each item */
export async function* eachWithPublicErrors<T>(
  caller: AbortSignal | undefined,
  list: (signal: AbortSignal) => AsyncIterable<T>,
): AsyncGenerator<T> {
  const { signal, release } = follow(caller);
  try {
    signal.throwIfAborted();
    for await (const item of list(signal)) {
      yield item;
      signal.throwIfAborted();
    }
  } catch (error) {
    throw toPublishError(error, signal);
  } finally {
    release();
  }
}

interface Following {
  /** Aborts with a PublishError INTERRUPTED. */
  signal: AbortSignal;
  /** Removes the listener on the caller's signal. */
  release: () => void;
}

function follow(caller: AbortSignal | undefined): Following {
  const controller = new AbortController();
  // Many requests at once listen to it, and Node takes more than ten for a leak.
  setMaxListeners(0, controller.signal);
  if (caller === undefined) return { signal: controller.signal, release: () => undefined };
  const onAbort = () => controller.abort(interrupted(caller.reason));
  if (caller.aborted) onAbort();
  else caller.addEventListener('abort', onAbort, { once: true });
  const release = () => caller.removeEventListener('abort', onAbort);
  return { signal: controller.signal, release };
}

function interrupted(cause: unknown): PublishError {
  return new PublishError('INTERRUPTED', `the caller interrupted it: ${messageOf(cause)}`, {
    cause,
  });
}

function toPublishError(error: unknown, { aborted, reason }: AbortSignal): PublishError {
  if (aborted && isInterruption(error, reason)) return reason as PublishError;
  if (error instanceof PublishError) return error;
  return new PublishError(codeOf(error), messageOf(error), { cause: error });
}

/** Whether the error means only that the signal fired, and no undo failed. */
function isInterruption(error: unknown, reason: unknown): boolean {
  if (error === reason) return true;
  if (error instanceof PublishError)
    return error.code === 'INTERRUPTED' && error.undoFailures.length === 0;
  return error instanceof Error && error.name === 'AbortError';
}
