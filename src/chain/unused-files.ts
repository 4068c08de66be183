// The files that fell out of a chain: named, and removed where that was asked for and nobody has them.
import { rm, stat } from 'node:fs/promises';
import type { ChainLayer, UnusedFile } from '../chain-types.ts';
import { messageOf } from '../errors.ts';
import type { Host } from '../libvirt/host.ts';
import { findUses, type OwnDisk, type Use } from './uses.ts';

/** Never rejects for a file: the chain is shorter whatever becomes of them. */
export async function seeToUnused(
  host: Host,
  leaves: readonly ChainLayer[],
  { own, flushed, remove }: { own: OwnDisk; flushed: boolean; remove: boolean },
): Promise<UnusedFile[]> {
  const paths = leaves.map(({ path }) => path);
  const kept = (reason: string) => paths.map((path) => ({ path, removed: false, reason }));
  if (!remove) return kept('not asked for');
  if (!flushed) return kept('the guest is paused, and may have unwritten data; resume it first');
  const uses = await findUses(host, paths, own);
  return Promise.all(
    paths.map(async (path) => {
      const users = uses.filter((use) => use.path === path).map(tell);
      const reason = users.length > 0 ? `used by ${users.join(', ')}` : await removeFile(path);
      return { path, removed: reason === null, reason };
    }),
  );
}

function tell({ by, unknown }: Use): string {
  return unknown ? `perhaps ${by} (${unknown.what})` : by;
}

/** Resolves to why it stays. */
async function removeFile(path: string): Promise<string | null> {
  try {
    if (!(await stat(path)).isFile()) return 'no file, but a device';
    await rm(path);
    return null;
  } catch (error) {
    return messageOf(error);
  }
}
