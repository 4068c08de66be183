// What is told where the file of an image cannot be written.
import { messageOf, PublishError } from '../errors.ts';

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
