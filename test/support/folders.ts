// Makes folders for tests below the lab's; each is removed with its test file.
import { randomBytes } from 'node:crypto';
import { chmod, mkdir, rm } from 'node:fs/promises';
import { join } from 'node:path';
import { cleanUpLater } from './cleanup.ts';
import { lab } from './lab.ts';

/** Makes an empty folder below the lab's that QEMU's user can reach; it is removed with its test file. */
export async function makeFolder(prefix: string): Promise<string> {
  const folder = join(lab().dir, 'domains', `${prefix}-${randomBytes(5).toString('hex')}`);
  await mkdir(folder, { recursive: true });
  // NOTE: QEMU runs as its own user, who has to traverse the folder.
  await chmod(folder, 0o711);
  cleanUpLater({ folder }, () => rm(folder, { recursive: true, force: true }));
  return folder;
}
