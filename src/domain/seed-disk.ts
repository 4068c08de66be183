// Recognizes seed disks, which only configure a guest at its first boot: cloud-init seeds, config drives and others.
import { constants } from 'node:fs';
import { type FileHandle, open } from 'node:fs/promises';
import { PublishError } from '../core/errors.ts';
import { inTime, type TimeLimits } from '../core/time-limit.ts';
import type { DiskDescription, DomainDescription } from '../libvirt/xml/domain-xml.ts';
import { markLayer } from './chain/layer-mark.ts';
import { readExtents } from './chain/read-extents.ts';
import { inRootOrder } from './root-disk.ts';

/** The signature and label of a file system are before this byte. */
const HEAD_BYTES = 64 * 1024;
/** A seed in a qcow2 is small; a larger file is not read. */
const MAX_QCOW2_BYTES = 512 * 1024 * 1024;

/**
 * Returns the domain with `seed` set, as far as the choice of the root disk depends on it: reads the
 * candidates until one is no seed. An unreadable disk counts as no seed.
 * @throws the signal's reason
 */
export async function markSeeds(
  description: DomainDescription,
  limits: TimeLimits,
): Promise<DomainDescription> {
  let { disks } = description;
  const looked = new Set<string>();
  for (;;) {
    const candidates = disks.filter(({ device }) => device === 'disk');
    const [root] = inRootOrder(candidates, (disk) => disk);
    if (!root || candidates.length === 1 || looked.has(root.target))
      return { ...description, disks };
    looked.add(root.target);
    const seed = await seedOf(root, limits);
    disks = disks.map((disk) => (disk === root ? { ...disk, seed } : disk));
  }
}

async function seedOf(disk: DiskDescription, limits: TimeLimits): Promise<string | null> {
  const { source, obstacle, encrypted } = disk;
  if (source === null || obstacle !== null || encrypted) return null;
  const late = () =>
    new PublishError('QEMU_IMG', `reading ${source} took longer than its deadline`);
  try {
    const head = await inTime({ ...limits, late }, () => readHead(source, disk.format, limits));
    return head && describeSeed(head);
  } catch {
    // An error of a disk that is taken is reported when its layers are read.
    limits.signal.throwIfAborted();
    return null;
  }
}

async function readHead(
  path: string,
  format: string | null,
  limits: TimeLimits,
): Promise<Buffer | null> {
  if ((await markLayer(path)).kind === 'other') return null;
  const file = await open(path, constants.O_RDONLY | constants.O_NONBLOCK);
  try {
    if (format === 'qcow2') return await readQcow2Head(file, path, limits);
    return format === 'raw' || format === null ? await readAt(file, 0, HEAD_BYTES) : null;
  } finally {
    await file.close();
  }
}

const SIZE_AT = 24;

async function readQcow2Head(
  file: FileHandle,
  path: string,
  limits: TimeLimits,
): Promise<Buffer | null> {
  const size = Number((await readAt(file, 0, HEAD_BYTES)).readBigUInt64BE(SIZE_AT));
  if (size > MAX_QCOW2_BYTES) return null;
  const source = { path, format: 'qcow2', backingChain: [], shared: true, ...limits };
  const extents = await readExtents(source, size);
  const head = Buffer.alloc(HEAD_BYTES);
  for (let n = 0; n < (extents?.count ?? 0); n += 1) {
    const [start = 0, length = 0, at = 0] = [extents?.start[n], extents?.length[n], extents?.at[n]];
    if (start >= HEAD_BYTES) break;
    (await readAt(file, at, Math.min(length, HEAD_BYTES - start))).copy(head, start);
  }
  return head;
}

async function readAt(file: FileHandle, position: number, length: number): Promise<Buffer> {
  const buffer = Buffer.alloc(length);
  await file.read(buffer, 0, length, position);
  return buffer;
}

/** File system labels by which a guest finds its seed, in lower case. */
const LABELS: Readonly<Record<string, string>> = {
  cidata: 'a cloud-init seed',
  'config-2': 'a config drive',
  context: 'a contextualization disk',
  'ovf env': 'an OVF environment',
  unattend: 'an answer file of Windows',
};

/** Returns the name of the seed that begins with these 64 KiB, for messages; null if it is none. */
export function describeSeed(head: Buffer): string | null {
  const text = (at: number, length: number) =>
    head.toString('latin1', at, at + length).replace(/[\0 ]+$/, '');
  const isIso = text(32_769, 5) === 'CD001';
  const label = isIso
    ? text(32_808, 32)
    : text(82, 5) === 'FAT32'
      ? text(71, 11)
      : text(54, 3) === 'FAT'
        ? text(43, 11)
        : head.readUInt16LE(1080) === 0xef53
          ? text(1144, 16)
          : '';
  const what = LABELS[label.toLowerCase()];
  if (what !== undefined) return `${what} (label ${label})`;
  return isIso ? 'an ISO 9660 image' : null;
}
