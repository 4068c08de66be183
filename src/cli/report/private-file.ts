// Opens a file for appending that only its owner may read, even if others can write to its folder.
import { constants, type Stats } from 'node:fs';
import { type FileHandle, lstat, open } from 'node:fs/promises';
import { resolve } from 'node:path';
import { hasCode, messageOf, PublishError } from '../../core/errors.ts';

const HINT = 'name another file with --log-file';
const { O_APPEND, O_CREAT, O_NOCTTY, O_NOFOLLOW, O_NONBLOCK, O_WRONLY } = constants;

/**
 * Opens the file at `path`, which is created if it does not exist, and gives it mode 0600. Nothing is
 * written to it here.
 * @throws PublishError CONFIG if it is a symbolic link, is not a regular file, has several hard links,
 * belongs to another user, or cannot be opened; NO_SPACE if its file system has no room for a new file.
 */
export async function openPrivateFile(path: string): Promise<FileHandle> {
  const absolute = resolve(path);
  // A device may act when it is opened, so it is recognized before that. The descriptor decides.
  assertPrivate(path, await lstat(absolute).catch(() => undefined));
  // NOTE: without O_NONBLOCK the open of a FIFO waits until a reader opens it.
  const flags = O_WRONLY | O_APPEND | O_CREAT | O_NOFOLLOW | O_NONBLOCK | O_NOCTTY;
  const file = await open(absolute, flags, 0o600).catch((error: unknown) => {
    throw cannotOpen(path, error);
  });
  try {
    const stats = await file.stat();
    assertPrivate(path, stats);
    if ((stats.mode & 0o7777) !== 0o600) await file.chmod(0o600);
    return file;
  } catch (error) {
    await file.close();
    throw error instanceof PublishError ? error : cannotOpen(path, error);
  }
}

function assertPrivate(path: string, stats: Stats | undefined): void {
  if (stats === undefined) return;
  const problem = problemOf(stats);
  if (problem === undefined) return;
  const message = `the log file ${path} ${problem}`;
  throw new PublishError('CONFIG', message, { step: 'config', hint: HINT });
}

function problemOf(stats: Stats): string | undefined {
  if (stats.isSymbolicLink()) return 'is a symbolic link, which is not followed';
  if (!stats.isFile()) return 'is not a regular file';
  if (stats.uid !== process.geteuid?.()) return `belongs to another user (uid ${stats.uid})`;
  // Another user may have linked a file of this user here, for it to be written to.
  return stats.nlink > 1 ? `has ${stats.nlink} hard links` : undefined;
}

/** Returns the error of a file that cannot be opened, or whose first line cannot be written. */
export function cannotOpen(path: string, cause: unknown): PublishError {
  if (hasCode(cause, 'ENOSPC', 'EDQUOT')) return noSpace(path, cause);
  const message = `the log file ${path} cannot be opened: ${messageOf(cause)}`;
  return new PublishError('CONFIG', message, { step: 'config', cause, hint: HINT });
}

function noSpace(path: string, cause?: unknown): PublishError {
  const message = `no space is left for the log file ${path}`;
  const hint = `free some space, or ${HINT}`;
  return new PublishError('NO_SPACE', message, { step: 'config', cause, hint });
}
