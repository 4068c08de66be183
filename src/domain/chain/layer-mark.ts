// What tells one layer from another, and from its own later state: which file it is, and what was seen of its content.
import type { BigIntStats } from 'node:fs';
import { readFile, stat, statfs } from 'node:fs/promises';
import { PublishError, type Step } from '../../core/errors.ts';

export interface LayerMark {
  path: string;
  /** `other` is what no layer can be: a folder, a FIFO, a socket, a character device. */
  kind: 'file' | 'device' | 'other';
  /** Equal for two names of one file or block device, and for no other two. */
  identity: string;
  /** Equal as long as nothing is known to have changed the content. */
  state: string;
}

/** @throws the file system's error if there is no such file. */
export async function markLayer(path: string): Promise<LayerMark> {
  const stats = await stat(path, { bigint: true });
  const identity = identityOf(stats);
  if (stats.isBlockDevice()) {
    return { path, kind: 'device', identity, state: await stateOfDevice(stats.rdev) };
  }
  return { path, kind: stats.isFile() ? 'file' : 'other', identity, state: stateOf(stats) };
}

/** NOTE: a block device has as many nodes as there are mount namespaces; its number is one. */
export function identityOf(stats: BigIntStats): string {
  return stats.isBlockDevice() ? `device ${stats.rdev}` : `file ${stats.dev}:${stats.ino}`;
}

/** NOTE: not the ctime: libvirt labels a base image whenever another of its domains starts. */
export function stateOf({ dev, ino, size, mtimeNs }: BigIntStats): string {
  return [dev, ino, size, mtimeNs].join(' ');
}

/** For a layer that is another one than was looked at, or was written to since. */
export function layerChanged(path: string, step: Step): PublishError {
  const message = `${path} was changed while it was read; wait until nobody works on that chain (a block commit, a snapshot that is reverted), and publish again`;
  return new PublishError('INTEGRITY', message, { step, retryable: true });
}

/** The device's own numbers; all that a kernel does not have count as equal. */
const DEVICE_FACTS = ['size', 'diskseq', 'dm/uuid'];
/** Of the fields of `stat`: the sectors that were written through this device. */
const WRITTEN_SECTORS = 6;

async function stateOfDevice(rdev: bigint): Promise<string> {
  const folder = `/sys/dev/block/${majorOf(rdev)}:${minorOf(rdev)}`;
  const facts = await Promise.all(DEVICE_FACTS.map((name) => readFact(`${folder}/${name}`)));
  const fields = (await readFact(`${folder}/stat`)).split(/\s+/);
  return [...facts, fields[WRITTEN_SECTORS] ?? ''].join(' ');
}

async function readFact(path: string): Promise<string> {
  const text = await readFile(path, 'utf8').catch(() => '');
  return text.trim();
}

// As glibc's gnu_dev_major and gnu_dev_minor.
function majorOf(rdev: bigint): bigint {
  return ((rdev >> 8n) & 0xfffn) | ((rdev >> 32n) & 0xfffff000n);
}

function minorOf(rdev: bigint): bigint {
  return (rdev & 0xffn) | ((rdev >> 12n) & 0xffffff00n);
}

/** Types of file systems whose files other hosts write to, by their magic numbers. */
const SHARED_FILE_SYSTEMS: Readonly<Record<number, string>> = {
  26985: 'NFS',
  4283649346: 'CIFS',
  4266872130: 'SMB',
  12805120: 'CephFS',
  1702057286: 'FUSE',
  18225520: 'GFS2',
  1952539503: 'OCFS2',
  198183888: 'Lustre',
  1196443219: 'GPFS',
};

/** Which changes of a layer its marks do not show, in words; null if they show all. */
export async function blindSpotOf({ path, kind }: LayerMark): Promise<string | null> {
  if (kind === 'device') {
    return `${path} is a block device: only writes through that device on this host are noticed`;
  }
  const { type } = await statfs(path);
  const name = SHARED_FILE_SYSTEMS[type];
  if (name === undefined) return null;
  return `${path} is on ${name}: a write by another host is noticed only when its new time arrives here`;
}
