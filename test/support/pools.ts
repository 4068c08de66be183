// Storage pools of tests, each with its own name; they are removed after their test file.
import { randomBytes } from 'node:crypto';
import { cleanUpLater } from './cleanup.ts';
import { virsh } from './domains.ts';

/** Makes a pool of the files in a folder; resolves to its name. */
export async function createDirPool(dir: string): Promise<string> {
  const name = `vp-test-${randomBytes(5).toString('hex')}`;
  await virsh('pool-create-as', name, 'dir', '--target', dir);
  cleanUpLater({}, async () => {
    await virsh('pool-destroy', name);
  });
  return name;
}
