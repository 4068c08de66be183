// A run's own files: the only ones that it removes, moves, or turns into something else.
import { rm } from 'node:fs/promises';

/** What a run made in its own folders; `isScratch: false` is a guest's disk, or a layer of one. */
export interface ScratchFile {
  path: string;
  isScratch: true;
}

/**
 * Removes it; one that is gone already is removed.
 * @throws Error for a file that is not the run's, whatever the types say: the data of a guest.
 */
export async function removeScratch({ path, isScratch }: ScratchFile): Promise<void> {
  if (isScratch !== true) throw new Error(`${path} is no scratch file, and is not removed`);
  await rm(path, { force: true });
}
