// What is told where the file of an image cannot be written.
import { messageOf, PublishError } from '../core/errors.ts';
import { inTime, type TimeLimits } from '../core/time-limit.ts';

const LATE = 'it took longer than its deadline: see whether the storage hangs';

/**
 * Settles with `work`, which writes the file at `path`, at its deadline, or with the signal.
 * @throws PublishError as `writeFailure`, what `work` throws of them; the signal's reason.
 */
export async function writeInTime<T>(
  { path, ...limits }: TimeLimits & { path: string },
  work: (signal: AbortSignal) => Promise<T>,
): Promise<T> {
  try {
    return await inTime({ ...limits, late: () => writeFailure(path, LATE) }, work);
  } catch (error) {
    if (limits.signal.aborted) throw limits.signal.reason;
    throw error instanceof PublishError ? error : writeFailureOf(path, error);
  }
}

/** Of what the file system threw. */
export function writeFailureOf(path: string, error: unknown): PublishError {
  return writeFailure(path, messageOf(error), (error as NodeJS.ErrnoException).code);
}

/** NO_SPACE where the system's `code` says so, else QEMU_IMG. */
export function writeFailure(path: string, message: string, code?: string): PublishError {
  const isFull = code === 'ENOSPC' || code === 'EDQUOT';
  const cure = isFull
    ? 'no space left on the file system; free some space there, or use --work-dir on a larger file system'
    : message;
  return new PublishError(isFull ? 'NO_SPACE' : 'QEMU_IMG', `writing ${path} failed: ${cure}`, {
    step: 'convert',
  });
}
