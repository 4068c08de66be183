// Files that come into a directory registry without being copied, and files that leave it.

import { lstat, open, rmdir, unlink } from 'node:fs/promises';
import { dirname } from 'node:path';
import { hasCode } from '../errors.ts';
import { openByUmask } from '../files/private-file.ts';
import {
  assertInside,
  FILE_MODE,
  isRegularFile,
  linkInto,
  makeFolder,
  syncFolder,
  withFile,
} from './directory-files.ts';
import { orMissing } from './file-errors.ts';

/** False, with nothing changed, where the file cannot be moved in. @throws EEXIST */
export async function moveFile(root: string, from: string, path: string): Promise<boolean> {
  const facts = await lstat(from);
  // Under another name somebody could go on writing into what is published.
  if (!facts.isFile() || facts.nlink !== 1) return false;
  await makeFolder(root, dirname(path));
  if ((await lstat(dirname(path))).dev !== facts.dev) return false;
  const file = await open(from, 'r');
  await withFile(file, async () => {
    await file.sync();
    await openByUmask(file, FILE_MODE);
  });
  if (!(await linked(linkInto(root, from, path)))) return false;
  await unlink(from);
  return true;
}

/** Removes a file, and the folders that are empty after it, as in a bucket. */
export async function removeFile(root: string, path: string): Promise<void> {
  if (!(await isRegularFile(path))) return;
  await assertInside(root, dirname(path));
  await orMissing(unlink(path));
  for (let at = dirname(path); at !== root; at = dirname(at)) {
    if (!(await removedEmpty(at))) return;
  }
}

/** False where this pair of file systems, or this one, has no hard links. */
async function linked(linking: Promise<void>): Promise<boolean> {
  try {
    await linking;
    return true;
  } catch (error) {
    if (hasCode(error, 'EXDEV', 'EPERM', 'EMLINK', 'ENOTSUP')) return false;
    throw error;
  }
}

async function removedEmpty(folder: string): Promise<boolean> {
  try {
    await rmdir(folder);
    await syncFolder(dirname(folder));
    return true;
  } catch (error) {
    if (hasCode(error, 'ENOTEMPTY', 'EEXIST', 'ENOENT')) return false;
    throw error;
  }
}
