// Files that share blocks with each other (reflinks).
import { constants } from 'node:fs';
import { copyFile, open, rm, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { OWNERS_ONLY } from '../files/private-file.ts';

const { COPYFILE_EXCL, COPYFILE_FICLONE_FORCE } = constants;

/**
 * Creates a file that shares all blocks with another one and that only its owner may read.
 *
 * NOTE: copyFile would give it the permissions of the other file. The call continues in the kernel
 * after its caller gave up, so the descriptors are closed when it returns.
 * @throws the system's error; Error if the file system cannot share the blocks.
 */
export async function cloneFile(source: string, path: string): Promise<void> {
  const { shareBlocks } = await import('../native/file-calls.ts');
  const from = await open(source, 'r');
  try {
    const to = await open(path, 'wx', OWNERS_ONLY);
    try {
      // A length of 0 means all up to the end.
      const isShared = await shareBlocks({ from: from.fd, to: to.fd }, { at: 0, length: 0, to: 0 });
      if (!isShared) throw new Error(`the file system shares no blocks of ${source}`);
    } finally {
      await to.close();
    }
  } finally {
    await from.close();
  }
}

/** Tries a reflink on empty files in `folder`. @throws the system's error if it fails. */
export async function requireReflinks(folder: string): Promise<void> {
  const probe = join(folder, 'probe');
  const clone = `${probe}.clone`;
  try {
    await writeFile(probe, '', { flag: 'wx' });
    await copyFile(probe, clone, COPYFILE_FICLONE_FORCE | COPYFILE_EXCL);
  } finally {
    await Promise.all([probe, clone].map((path) => rm(path, { force: true })));
  }
}
