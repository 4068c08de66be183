// The errors of writing an image's file.
import { messageOf, PublishError } from '../core/errors.ts';
import { inTime, type TimeLimits } from '../core/time-limit.ts';

const LATE = 'it took longer than its deadline';

/**
 * Settles with `work`, which writes the file at `path`, or at the deadline, or with the signal.
 * @throws PublishError, that of `work` or as `writeFailure`; the signal's reason.
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

/** Returns the PublishError for an error of the file system. */
export function writeFailureOf(path: string, error: unknown): PublishError {
  return writeFailure(path, messageOf(error), (error as NodeJS.ErrnoException).code);
}

/** Returns NO_SPACE if the system's `code` is ENOSPC or EDQUOT, else QEMU_IMG. */
export function writeFailure(path: string, message: string, code?: string): PublishError {
  const isFull = code === 'ENOSPC' || code === 'EDQUOT';
  const reason = isFull ? 'no space left on the file system' : message;
  return new PublishError(isFull ? 'NO_SPACE' : 'QEMU_IMG', `writing ${path} failed: ${reason}`, {
    step: 'convert',
    hint: isFull
      ? 'free some space there, or use --work-dir on a larger file system'
      : 'check that the directory is writable and that its storage answers',
  });
}
