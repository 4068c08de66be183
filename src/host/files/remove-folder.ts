// Removes a folder of ours with all it holds, and nothing that a link in its place or in it leads to.
import { constants, type FileHandle, lstat, open, readdir, rmdir, unlink } from 'node:fs/promises';
import { PublishError } from '../../core/errors.ts';
import { isMissing, isOurs } from './own-folders.ts';

const { O_RDONLY, O_DIRECTORY, O_NOFOLLOW } = constants;

/**
 * Removes the folder; one that does not exist is as good as removed. The entry named `last` goes last.
 *
 * NOTE: every name is looked up in a folder that is open, through /proc/self/fd: whoever exchanges a
 * folder for a link while this goes on cannot lead the removal anywhere else.
 * @throws PublishError WORK_DIR if it is no folder of ours; the file system's error.
 */
export async function removeFolder(path: string, last = ''): Promise<void> {
  const folder = await openFolder(path);
  if (folder === undefined) {
    if (await unlessMissing(lstat(path))) throw notOurs(path, 'it is no folder');
    return;
  }
  try {
    const facts = await folder.stat();
    if (!isOurs(facts)) throw notOurs(path, `it belongs to another user (uid ${facts.uid})`);
    await emptyFolder(folder, last);
  } finally {
    await folder.close();
  }
  await unlessMissing(rmdir(path));
}

function openFolder(path: string): Promise<FileHandle | undefined> {
  return unlessMissing(open(path, O_RDONLY | O_DIRECTORY | O_NOFOLLOW));
}

async function emptyFolder({ fd }: FileHandle, last: string): Promise<void> {
  const at = `/proc/self/fd/${fd}`;
  const entries = await readdir(at, { withFileTypes: true });
  entries.sort((a, b) => Number(a.name === last) - Number(b.name === last));
  for (const entry of entries) {
    const path = `${at}/${entry.name}`;
    if (entry.isDirectory()) await removeBelow(path);
    else await unlessMissing(unlink(path));
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
  await unlessMissing(rmdir(path));
}

async function unlessMissing<T>(answer: Promise<T>): Promise<T | undefined> {
  try {
    return await answer;
  } catch (error) {
    if (isMissing(error)) return undefined;
    throw error;
  }
}

function notOurs(path: string, why: string): PublishError {
  const message = `${path} is not removed: ${why}; see who made it, and remove it by hand`;
  return new PublishError('WORK_DIR', message, { step: 'restore' });
}
