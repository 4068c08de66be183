// The files that fell out of a chain: named, and removed where that was asked for and nobody has them.
import { open, rm, stat } from 'node:fs/promises';
import type { ChainLayer, UnusedFile } from '../chain-types.ts';
import { messageOf } from '../errors.ts';
import type { Host } from '../libvirt/host.ts';
import type { Flushed } from './chain-job.ts';
import { findUses, type OwnDisk, type Use } from './uses.ts';

export interface Shortened {
  own: OwnDisk;
  /** The file that has what was in the others. */
  into: string;
  flushed: Flushed;
  remove: boolean;
}

/** Never rejects: the chain is shorter whatever becomes of them. */
export async function seeToUnused(
  host: Host,
  leaves: readonly ChainLayer[],
  { own, into, flushed, remove }: Shortened,
): Promise<UnusedFile[]> {
  const paths = leaves.map(({ path }) => path);
  const kept = (reason: string) => paths.map((path) => ({ path, removed: false, reason }));
  if (!remove) return kept('not asked for');
  if (!flushed.flushed) return kept(flushed.why);
  try {
    await syncFile(into);
    const uses = await findUses(host, paths, own);
    return await Promise.all(paths.map((path) => removeUnused(path, uses)));
  } catch (error) {
    return kept(messageOf(error));
  }
}

/** NOTE: a disk of `cache='unsafe'` is never synced by QEMU, and a removal would outrun its data. */
async function syncFile(path: string): Promise<void> {
  const file = await open(path, 'r');
  try {
    await file.sync();
  } finally {
    await file.close();
  }
}

async function removeUnused(path: string, uses: readonly Use[]): Promise<UnusedFile> {
  const users = uses.filter((use) => use.path === path).map(tell);
  const reason = users.length > 0 ? `used by ${users.join(', ')}` : await removeFile(path);
  return { path, removed: reason === null, reason };
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
