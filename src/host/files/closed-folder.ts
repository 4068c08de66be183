// Finds the folder that keeps other users, QEMU's own among them, from a file.
import { stat } from 'node:fs/promises';
import { dirname } from 'node:path';

/** The uppermost folder above a file that others may not pass; undefined if there is none. */
export async function closedFolder(path: string): Promise<string | undefined> {
  const parents: string[] = [];
  for (let at = dirname(path); at !== dirname(at); at = dirname(at)) parents.unshift(at);
  for (const parent of parents) {
    if (((await stat(parent)).mode & 0o001) === 0) return parent;
  }
  return undefined;
}
