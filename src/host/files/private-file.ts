// Files with a guest's data: made so that no other user reads them, whatever the umask.
import { constants, type FileHandle, open, readFile } from 'node:fs/promises';

/** Only its owner reads and writes such a file. */
export const OWNERS_ONLY = 0o600;

const { O_CREAT, O_WRONLY, O_NOFOLLOW } = constants;

/**
 * Makes an empty file that a program writes next, since the program itself would make it with every
 * right that the umask leaves. An existing file keeps its content and loses its other rights.
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

/** Gives a whole file the rights of `mode` that the umask of this process leaves. */
export async function openByUmask(file: FileHandle, mode: number): Promise<void> {
  await file.chmod(mode & ~(await readUmask()));
}

/** NOTE: Node can only read the umask by setting it, for all threads of the process. */
async function readUmask(): Promise<number> {
  const status = await readFile('/proc/self/status', 'utf8');
  const found = /^Umask:\s*([0-7]+)$/m.exec(status)?.[1];
  return found === undefined ? 0o077 : Number.parseInt(found, 8);
}
