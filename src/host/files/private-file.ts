// Files with a guest's data, created so that no other user can read them, with any umask.
import { constants, type FileHandle, open, readFile } from 'node:fs/promises';

/** Only the owner may read and write such a file. */
export const OWNERS_ONLY = 0o600;

const { O_CREAT, O_WRONLY, O_NOFOLLOW } = constants;

/**
 * Creates an empty file for a program to write, since the program itself would create it with every
 * permission that the umask leaves. An existing file keeps its content and loses other permissions.
 * @throws the file system's error.
 */
export async function makePrivateFile(path: string): Promise<void> {
  const file = await open(path, O_CREAT | O_WRONLY | O_NOFOLLOW, OWNERS_ONLY);
  try {
    await file.chmod(OWNERS_ONLY);
  } finally {
    await file.close();
  }
}

/** Gives a complete file the permissions of `mode` that the umask of this process leaves. */
export async function openByUmask(file: FileHandle, mode: number): Promise<void> {
  await file.chmod(mode & ~(await readUmask()));
}

/** NOTE: Node reads the umask only by setting it, for all threads of the process. */
async function readUmask(): Promise<number> {
  const status = await readFile('/proc/self/status', 'utf8');
  const found = /^Umask:\s*([0-7]+)$/m.exec(status)?.[1];
  return found === undefined ? 0o077 : Number.parseInt(found, 8);
}
