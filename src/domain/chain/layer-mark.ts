// Marks of layers: the identity of a file or device, and a state that changes with its content.
import type { BigIntStats } from 'node:fs';
import { readFile, stat, statfs } from 'node:fs/promises';
import { PublishError, type Step } from '../../core/errors.ts';

export interface LayerMark {
  path: string;
  /** `other` cannot be a layer: a folder, a FIFO, a socket, a character device. */
  kind: 'file' | 'device' | 'other';
  /** Equal for two paths exactly if they lead to one file or block device. */
  identity: string;
  /** Equal while no change of the content is detected. */
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

/** NOTE: not the ctime: libvirt labels a shared backing file whenever another of its domains starts. */
export function stateOf({ dev, ino, size, mtimeNs }: BigIntStats): string {
  return [dev, ino, size, mtimeNs].join(' ');
}

/** Returns the error for a layer that was replaced or written to since it was marked. */
export function layerChanged(path: string, step: Step): PublishError {
  return new PublishError('INTEGRITY', `${path} was changed while it was read`, {
    step,
    retryable: true,
    hint: 'run it again when no block commit or snapshot revert works on that chain',
  });
}

/** Facts of the device; those that a kernel does not have count as equal. */
const DEVICE_FACTS = ['size', 'diskseq', 'dm/uuid'];
/** The field of `stat` with the sectors written through this device. */
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

// Like gnu_dev_major and gnu_dev_minor of glibc.
function majorOf(rdev: bigint): bigint {
  return ((rdev >> 8n) & 0xfffn) | ((rdev >> 32n) & 0xfffff000n);
}

function minorOf(rdev: bigint): bigint {
  return (rdev & 0xffn) | ((rdev >> 12n) & 0xffffff00n);
}

/** File systems that other hosts may write to, by their magic numbers. */
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

/** Returns which changes of a layer its marks do not detect, for messages; null if they detect all. */
export async function blindSpotOf({ path, kind }: LayerMark): Promise<string | null> {
  if (kind === 'device') {
    return `${path} is a block device: only writes through that device on this host are detected`;
  }
  const { type } = await statfs(path);
  const name = SHARED_FILE_SYSTEMS[type];
  if (name === undefined) return null;
  return `${path} is on ${name}: a write by another host is detected only when its new mtime arrives here`;
}
