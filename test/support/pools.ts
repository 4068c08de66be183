// Storage pools of tests: each with a name of its own, gone after its test file.
import { randomBytes } from 'node:crypto';
import { cleanUpLater } from './cleanup.ts';
import { virsh } from './domains.ts';

/** A pool of the files that are in a folder; its name. */
export async function createDirPool(dir: string): Promise<string> {
  const name = `vp-test-${randomBytes(5).toString('hex')}`;
  await virsh('pool-create-as', name, 'dir', '--target', dir);
  cleanUpLater({}, async () => {
    await virsh('pool-destroy', name);
  });
  return name;
}
