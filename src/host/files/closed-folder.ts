// Finds the folder that keeps other users, such as QEMU's, from reaching a file.
import { stat } from 'node:fs/promises';
import { dirname } from 'node:path';

/** Returns the uppermost folder above a file that has no x permission for others, or `undefined`. */
export async function closedFolder(path: string): Promise<string | undefined> {
  const parents: string[] = [];
  for (let at = dirname(path); at !== dirname(at); at = dirname(at)) parents.unshift(at);
  for (const parent of parents) {
    if (((await stat(parent)).mode & 0o001) === 0) return parent;
  }
  return undefined;
}
