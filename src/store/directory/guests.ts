// Finds the guests of this host that use files of a directory registry.
import { basename, join } from 'node:path';
import { fileIdentity, findOpeners, isQemu } from '../../host/files/file-openers.ts';

/** Returns each QEMU that has one of the files open, as `process 4711 (qemu-system-x86)`. */
export async function findGuests(root: string, keys: readonly string[]): Promise<string[]> {
  const files = new Map<string, string>();
  for (const key of keys) {
    const identity = await fileIdentity(join(root, key));
    if (identity !== undefined) files.set(identity, basename(key));
  }
  const openers = files.size === 0 ? [] : await findOpeners(files);
  const guests = openers.filter(({ program }) => isQemu(program));
  return [...new Set(guests.map(({ pid, program }) => `process ${pid} (${program})`))];
}
