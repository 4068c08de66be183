// A file outlives a power cut from here on.
import { open } from 'node:fs/promises';

/** Resolves when all of the file is on its disk, whoever wrote it. @throws what the file system throws. */
export async function syncFile(path: string): Promise<void> {
  const file = await open(path, 'r');
  try {
    await file.sync();
  } finally {
    await file.close();
  }
}
