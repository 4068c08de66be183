// Removes a folder of this user with its content, and follows no link in its place or in it.
import { constants, type FileHandle, lstat, open, readdir, rmdir, unlink } from 'node:fs/promises';
import { PublishError } from '../../core/errors.ts';
import { orMissing } from './file-errors.ts';
import { isTrustedOwner } from './own-folders.ts';

const { O_RDONLY, O_DIRECTORY, O_NOFOLLOW } = constants;

/**
 * Removes the folder if it exists. The entry named `last` is removed last.
 *
 * NOTE: every name is looked up in an open folder, through /proc/self/fd: a user who replaces a folder
 * by a link during the removal cannot direct it to another folder.
 * @throws PublishError WORK_DIR if it is no folder of this user or root; the file system's error.
 */
export async function removeFolder(path: string, last = ''): Promise<void> {
  const folder = await openFolder(path);
  if (folder === undefined) {
    if (await orMissing(lstat(path))) throw foreignError(path, 'it is no directory');
    return;
  }
  try {
    const facts = await folder.stat();
    if (!isTrustedOwner(facts))
      throw foreignError(path, `it belongs to another user (uid ${facts.uid})`);
    await emptyFolder(folder, last);
  } finally {
    await folder.close();
  }
  await orMissing(rmdir(path));
}

function openFolder(path: string): Promise<FileHandle | undefined> {
  return orMissing(open(path, O_RDONLY | O_DIRECTORY | O_NOFOLLOW));
}

async function emptyFolder({ fd }: FileHandle, last: string): Promise<void> {
  const at = `/proc/self/fd/${fd}`;
  const entries = await readdir(at, { withFileTypes: true });
  entries.sort((a, b) => Number(a.name === last) - Number(b.name === last));
  for (const entry of entries) {
    const path = `${at}/${entry.name}`;
    if (entry.isDirectory()) await removeBelow(path);
    else await orMissing(unlink(path));
  }
}

async function removeBelow(path: string): Promise<void> {
  const folder = await openFolder(path);
  if (folder === undefined) return;
  try {
    await emptyFolder(folder, '');
  } finally {
    await folder.close();
  }
  await orMissing(rmdir(path));
}

function foreignError(path: string, why: string): PublishError {
  const hint = 'find out who created it, and remove it by hand';
  return new PublishError('WORK_DIR', `${path} is not removed: ${why}`, { step: 'restore', hint });
}
