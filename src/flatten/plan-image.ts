// Whether a chain's image can be written by a pass of our own, and what is to be read for it.
import type { BigIntStats } from 'node:fs';
import { open, stat } from 'node:fs/promises';
import { hasCode, PublishError } from '../errors.ts';
import { CLUSTER, DataRuns } from './data-runs.ts';
import { type DataExtents, readExtents } from './extents.ts';
import { Qcow2Layout } from './qcow2-layout.ts';
import type { CallLimits, ImageFile, SourceImage } from './qemu-img-types.ts';
import { hasZeros } from './zero-sample.ts';

/** A chain that can be written so. */
export interface PlannedImage {
  layers: readonly string[];
  /** What tells, of each layer, that it is still what was looked at. */
  marks: readonly string[];
  extents: DataExtents;
  virtualSize: number;
  /** Bytes of its data, in whole clusters. */
  dataBytes: number;
  /** Bytes of the file, where it is not compressed. */
  size: number;
}

/** Beyond it the tables take more memory than there should be. */
const MAX_VIRTUAL_SIZE = 16 * 1024 ** 4;
/** Incompatible features: eight bytes, after version 3. */
const QCOW2_FEATURES_AT = 72;
const EXTERNAL_DATA_FILE = 4;

/**
 * `undefined` where qemu-img must do it: data that QEMU alone can read; or, unless `findsZeros`,
 * clusters full of zeros, which it leaves out and which can be found by reading them only.
 *
 * NOTE: qemu-img locks what it reads and refuses a chain that somebody writes to. Here nothing is
 * locked: the first layer must be the caller's own, and the others are looked at again at the end.
 * A block device does not tell whether it was written to.
 * @throws PublishError QEMU_IMG, INTEGRITY where the disk has another size; the signal's reason.
 */
export async function planImage(
  source: SourceImage & CallLimits,
  virtualSize: number,
  { findsZeros = false }: { findsZeros?: boolean } = {},
): Promise<PlannedImage | undefined> {
  try {
    return await planChain(source, virtualSize, findsZeros);
  } catch (error) {
    // What is wrong with a file, qemu-img tells with its name and the cure.
    if (hasCode(error, 'ENOENT', 'ENOTDIR', 'EACCES', 'EPERM', 'EIO', 'ESTALE')) return undefined;
    throw error;
  }
}

/** @throws PublishError INTEGRITY where a layer is no longer what was planned with. */
export async function refuseChanged({
  layers,
  marks,
}: Pick<PlannedImage, 'layers' | 'marks'>): Promise<void> {
  for (const [index, path] of layers.entries()) {
    // One that is gone was changed too.
    const now = await stat(path, { bigint: true }).catch(() => undefined);
    if (now !== undefined && markOf(now) === marks[index]) continue;
    const message = `${path} was changed while it was read; wait until nobody works on that chain (a block commit, a snapshot that is reverted), and publish again`;
    throw new PublishError('INTEGRITY', message, { step: 'convert', retryable: true });
  }
}

async function planChain(
  source: SourceImage & CallLimits,
  virtualSize: number,
  findsZeros: boolean,
): Promise<PlannedImage | undefined> {
  const chain: ImageFile[] = [source, ...(source.backingChain ?? [])];
  const isKnown = chain.every(({ format }) => format === 'qcow2' || format === 'raw');
  if (!isKnown || virtualSize > MAX_VIRTUAL_SIZE) return undefined;
  const layers = chain.map(({ path }) => path);
  const facts = await Promise.all(layers.map((path) => stat(path, { bigint: true })));
  if (!facts.every((each) => each.isFile())) return undefined;
  for (const layer of chain) if (await keepsDataElsewhere(layer)) return undefined;
  const extents = await readExtents(source, virtualSize);
  if (extents === undefined) return undefined;
  const runs = new DataRuns(extents);
  if (!findsZeros && (await hasZeros(layers, runs))) return undefined;
  const { size } = new Qcow2Layout(virtualSize, runs);
  const dataBytes = runs.clusters * CLUSTER;
  return { layers, marks: facts.map(markOf), extents, virtualSize, dataBytes, size };
}

/** NOTE: `qemu-img map` tells places in an external data file as if they were in the qcow2. */
async function keepsDataElsewhere({ path, format }: ImageFile): Promise<boolean> {
  if (format !== 'qcow2') return false;
  const header = Buffer.alloc(QCOW2_FEATURES_AT + 8);
  const file = await open(path, 'r');
  try {
    await file.read(header, 0, header.length, 0);
  } finally {
    await file.close();
  }
  const hasFeatures = header.readUInt32BE(4) >= 3;
  return hasFeatures && (header.readUInt32BE(QCOW2_FEATURES_AT + 4) & EXTERNAL_DATA_FILE) !== 0;
}

/** NOTE: not the ctime: libvirt labels a base image whenever another of its domains starts. */
function markOf({ dev, ino, size, mtimeNs }: BigIntStats): string {
  return [dev, ino, size, mtimeNs].join(' ');
}
