// A run's own files: the only files that it removes, moves or changes.
import { rm } from 'node:fs/promises';

/** A file that a run created in its own folders; `isScratch: false` is a guest's disk or a layer of one. */
export interface ScratchFile {
  path: string;
  isScratch: true;
}

/**
 * Removes the file if it exists.
 * @throws Error if the file is not the run's own, also if the types permit it: it has a guest's data.
 */
export async function removeScratch({ path, isScratch }: ScratchFile): Promise<void> {
  if (isScratch !== true)
    throw new Error(`${path} is not removed: it is no scratch file of the run`);
  await rm(path, { force: true });
}
