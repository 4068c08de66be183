// Whether files of a folder can share blocks with each other.
import { constants } from 'node:fs';
import { copyFile, rm, writeFile } from 'node:fs/promises';
import { join } from 'node:path';

const { COPYFILE_EXCL, COPYFILE_FICLONE_FORCE } = constants;

/** Tried on empty files. @throws the system's error where they cannot. */
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
