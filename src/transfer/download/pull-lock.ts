// One pull at a time into one file: a lock on the note beside the partial file, dropped with its process.
import { constants } from 'node:fs';
import { type FileHandle, unlink } from 'node:fs/promises';
import { hasCode, PublishError } from '../../core/errors.ts';
import { isNamed, openOwn } from '../../host/files/own-file.ts';
import { placeError } from './pull-place.ts';

export interface PullLock {
  /** The note that lists the ranges in the partial file. `release` removes it if it is empty. */
  readonly note: FileHandle;
  release(): Promise<void>;
}

/** Only its owner may open it: any open descriptor can hold the lock. */
const NOTE_MODE = 0o600;

/**
 * `path`: of the note; `file`: what is pulled, for the message.
 * @throws USAGE if another process pulls to this file, or the note is not this user's own; what the
 * file system says.
 */
export async function lockPull(path: string, file: string): Promise<PullLock> {
  for (;;) {
    const { file: note } = await openOwn(
      path,
      { mode: NOTE_MODE, flags: constants.O_APPEND },
      (reason) => notOwn(path, reason),
    ).catch((error: unknown) => {
      throw placeError(error, file);
    });
    const isLocked = await lock(note);
    // The holder removes the note before it lets go: then there is a new one to lock.
    if (isLocked && (await isNamed(note, path)))
      return { note, release: () => release(note, path) };
    await note.close();
    if (!isLocked) throw busy(file);
  }
}

/** NOTE: a file system without locks grants every lock; the digest of the whole file then decides. */
async function lock({ fd }: FileHandle): Promise<boolean> {
  const { tryLock } = await import('../../host/native/file-locks.ts');
  try {
    return tryLock(fd);
  } catch (error) {
    if (error instanceof Error) return true;
    throw error;
  }
}

/** The refusal of a file beside the target that another user may have planted. */
export function notOwn(path: string, reason: string): PublishError {
  const message = `${path} ${reason}, and is not replaced`;
  return new PublishError('USAGE', message, {
    step: 'pull',
    hint: 'remove it, or name another file',
  });
}

async function release(note: FileHandle, path: string): Promise<void> {
  try {
    const { size } = await note.stat();
    if (size === 0 && (await isNamed(note, path))) await unlink(path);
  } catch (error) {
    if (!hasCode(error, 'ENOENT')) throw error;
  } finally {
    await note.close();
  }
}

function busy(file: string): PublishError {
  const message = `another process is pulling to ${file}`;
  return new PublishError('USAGE', message, {
    step: 'pull',
    hint: 'wait for it, or name another file',
  });
}
