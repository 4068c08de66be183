// The files that left a chain: reported, and removed if that was asked for and nothing uses them.
import { open, rm } from 'node:fs/promises';
import type { Flushed } from '../../capture/chain/chain-job.ts';
import { messageOf } from '../../core/errors.ts';
import type { ChainLayer } from '../../core/model.ts';
import { type LayerMark, markLayer } from '../../domain/chain/layer-mark.ts';
import { findUses, type OwnDisk, type Use } from '../../domain/chain/uses.ts';
import type { Host } from '../../libvirt/host.ts';
import type { UnusedFile } from './chain-types.ts';

export interface Shortened {
  own: OwnDisk;
  /** Marks of all layers that the disk had before. */
  before: readonly LayerMark[];
  /** Marks of the layers that it has now; null if they could not be read. */
  after: readonly LayerMark[] | null;
  /** Identities of the files that the guest's QEMU has open now; null if they cannot be seen. */
  opened: ReadonlySet<string> | null;
  /** The file that now holds the data of the others. */
  into: string;
  flushed: Flushed;
  remove: boolean;
}

/** Never rejects: the chain is shorter in any case. */
export async function removeUnusedFiles(
  host: Host,
  removed: readonly ChainLayer[],
  shortened: Shortened,
): Promise<UnusedFile[]> {
  const { own, into, flushed, remove, after } = shortened;
  const paths = removed.map(({ path }) => path);
  const kept = (reason: string) => paths.map((path) => ({ path, removed: false, reason }));
  if (!remove) return kept('not asked for');
  if (!flushed.flushed) return kept(flushed.why);
  if (after === null) return kept('the chain could not be read again');
  try {
    await syncFile(into);
    const uses = await findUses(host, paths, own);
    return await Promise.all(paths.map((path) => removeUnused(path, uses, shortened)));
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

async function removeUnused(
  path: string,
  uses: readonly Use[],
  shortened: Shortened,
): Promise<UnusedFile> {
  const users = uses.filter((use) => use.path === path).map(describeUse);
  const reason =
    users.length > 0 ? `used by ${users.join(', ')}` : await removeFile(path, shortened);
  return { path, removed: reason === null, reason };
}

function describeUse({ by, unknown }: Use): string {
  return unknown ? `perhaps ${by} (${unknown.what})` : by;
}

/** Removes a file that was a layer of the disk and is none now. Returns why it stays, or null. */
async function removeFile(
  path: string,
  { before, after, opened }: Shortened,
): Promise<string | null> {
  try {
    const { kind, identity } = await markLayer(path);
    if (kind !== 'file') return 'it is a device';
    const was = before.find((layer) => layer.path === path);
    if (was?.identity !== identity) return 'its name was given to another file';
    if (after?.some((layer) => layer.identity === identity)) return 'it is a layer of the disk';
    if (opened?.has(identity)) return "the guest's QEMU has it open";
    await rm(path);
    return null;
  } catch (error) {
    return messageOf(error);
  }
}
