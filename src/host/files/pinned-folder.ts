// A private folder in a directory that other users may write to.
import { constants, type Stats } from 'node:fs';
import { type FileHandle, mkdir, open, readlink, rmdir } from 'node:fs/promises';
import { hasCode } from '../../core/errors.ts';
import { isNamed } from './own-file.ts';
import { ownUid } from './own-folders.ts';

export interface PinnedFolder {
  /**
   * A path of the open folder itself, whatever its name means by now; valid for this process and the
   * programs that it starts, until `release`.
   */
  readonly path: string;
  /** Closes it, and removes it if it is empty. */
  release(): Promise<void>;
}

/**
 * Creates the folder with mode 0700, or opens the existing one if it is this user's own and closed to
 * others. It follows no symbolic link at `path`.
 * @throws the error that `refuse` returns for the reason (the end of a sentence that begins with the
 * path); the system's error.
 */
export async function openPinnedFolder(
  path: string,
  refuse: (reason: string) => Error,
): Promise<PinnedFolder> {
  const { O_RDONLY, O_DIRECTORY, O_NOFOLLOW } = constants;
  await mkdir(path, { mode: 0o700 }).catch((error: unknown) => {
    if (!hasCode(error, 'EEXIST')) throw error;
  });
  const folder = await open(path, O_RDONLY | O_DIRECTORY | O_NOFOLLOW).catch((error: unknown) => {
    throw hasCode(error, 'ENOTDIR', 'ELOOP') ? refuse('is no directory') : error;
  });
  const reason = whyForeign(await folder.stat());
  if (reason !== undefined) {
    await folder.close();
    throw refuse(reason);
  }
  const pid = await readlink('/proc/self');
  return { path: `/proc/${pid}/fd/${folder.fd}`, release: () => release(folder, path) };
}

function whyForeign({ uid, mode }: Stats): string | undefined {
  if (uid !== ownUid()) return `belongs to user ${uid}`;
  return (mode & 0o077) === 0 ? undefined : 'is open to other users';
}

async function release(folder: FileHandle, path: string): Promise<void> {
  try {
    if (await isNamed(folder, path)) await rmdir(path);
  } catch (error) {
    if (!hasCode(error, 'ENOTEMPTY', 'EEXIST', 'ENOENT')) throw error;
  } finally {
    await folder.close();
  }
}
