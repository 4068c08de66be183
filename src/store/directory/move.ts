// Files that come into a directory registry without being copied, and files that leave it.
import type { Stats } from 'node:fs';
import { constants, type FileHandle, lstat, open, rmdir, unlink } from 'node:fs/promises';
import { basename, dirname } from 'node:path';
import { hasCode } from '../../core/errors.ts';
import { orMissing } from '../../host/files/file-errors.ts';
import { openByUmask } from '../../host/files/private-file.ts';
import { FILE_MODE, linkInto, removeNamed, withFile } from './files.ts';
import { isShared, withFolder } from './folder.ts';

/** False, with no name changed, if the file cannot be moved in. @throws EEXIST */
export async function moveFile(root: string, from: string, key: string): Promise<boolean> {
  const { O_RDONLY, O_NOFOLLOW, O_NONBLOCK } = constants;
  const file = await open(from, O_RDONLY | O_NOFOLLOW | O_NONBLOCK);
  return withFile(file, async () => {
    const facts = await file.stat();
    // Through another name of the file a process could write into the published image.
    if (!facts.isFile() || facts.nlink !== 1) return false;
    const target = await factsOf(root, dirname(key));
    if (target?.dev !== facts.dev) return false;
    await file.sync();
    if (!(await adoptGroup(file, facts.gid, target))) return false;
    if (target.isShared) await file.chmod(FILE_MODE);
    else await openByUmask(file, FILE_MODE);
    let isLinked = false;
    try {
      isLinked = await linked(linkInto(root, { file, path: from }, key));
    } finally {
      // NOTE: a bind mount has the device of its file system, and no link leads across it. The caller
      // then reads the file: it must have its time, and be readable by its owner alone, as before.
      if (!isLinked) await file.chmod(facts.mode & 0o7777);
    }
    if (!isLinked) return false;
    // Its age in the registry counts from now.
    const now = new Date();
    await file.utimes(now, now);
    await removeNamed(file, from);
    return true;
  });
}

async function factsOf(
  root: string,
  key: string,
): Promise<(Pick<Stats, 'dev' | 'gid' | 'mode'> & { isShared: boolean }) | undefined> {
  return withFolder(root, key, { forWriting: true }, async (folder) => {
    const { dev, gid, mode } = await folder.handle.stat();
    return { dev, gid, mode, isShared: await isShared(folder) };
  });
}

const S_ISGID = 0o2000;

/** A file made in a setgid folder gets its group; one that is linked into it does not. */
async function adoptGroup(
  file: FileHandle,
  gid: number,
  folder: Pick<Stats, 'gid' | 'mode'>,
): Promise<boolean> {
  if ((folder.mode & S_ISGID) === 0 || folder.gid === gid) return true;
  try {
    await file.chown(-1, folder.gid);
    return true;
  } catch (error) {
    if (hasCode(error, 'EPERM', 'EINVAL')) return false;
    throw error;
  }
}

/** Removes a file, and the folders that are empty after it, as in a bucket. */
export async function removeFile(root: string, key: string): Promise<void> {
  const isRemoved = await withFolder(root, dirname(key), { forWriting: false }, async (folder) => {
    const path = folder.at(basename(key));
    if (!(await orMissing(lstat(path)))?.isFile()) return false;
    await orMissing(unlink(path));
    return true;
  });
  for (let at = dirname(key); isRemoved && at !== '.'; at = dirname(at)) {
    if (!(await removedEmpty(root, at))) return;
  }
}

/** False if this pair of file systems, or this one, has no hard links. */
async function linked(linking: Promise<void>): Promise<boolean> {
  try {
    await linking;
    return true;
  } catch (error) {
    if (hasCode(error, 'EXDEV', 'EPERM', 'EMLINK', 'ENOTSUP')) return false;
    throw error;
  }
}

async function removedEmpty(root: string, folder: string): Promise<boolean> {
  const removed = await withFolder(root, dirname(folder), { forWriting: false }, async (parent) => {
    try {
      await rmdir(parent.at(basename(folder)));
    } catch (error) {
      if (hasCode(error, 'ENOTEMPTY', 'EEXIST', 'ENOENT', 'ENOTDIR')) return false;
      throw error;
    }
    await parent.handle.sync();
    return true;
  });
  return removed ?? false;
}
