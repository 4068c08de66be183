// A temporary folder in the work directory, made as a run makes one.
import { randomUUID } from 'node:crypto';
import { join } from 'node:path';
import { makeRunFolder, PASSABLE, prepareFolder } from '../../host/files/own-folders.ts';
import { removeFolder } from '../../host/files/remove-folder.ts';

/** @throws WORK_DIR, NO_SPACE if it cannot be made. */
export async function withProbeFolder<T>(
  workDir: string,
  work: (folder: string) => Promise<T>,
): Promise<T> {
  const folder = join(workDir, `doctor-${randomUUID()}`);
  await prepareFolder(workDir);
  await makeRunFolder(folder, PASSABLE);
  try {
    return await work(folder);
  } finally {
    await removeFolder(folder);
  }
}
