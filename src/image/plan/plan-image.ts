// Decides whether this program can read a chain's data itself, and plans the flat image of it.
import { createHash } from 'node:crypto';
import type { BigIntStats } from 'node:fs';
import { stat } from 'node:fs/promises';
import { hasCode, messageOf, PublishError, type Step } from '../../core/errors.ts';
import { inTime, type TimeLimits } from '../../core/time-limit.ts';
import type { DataExtents } from '../../domain/chain/extents.ts';
import { layerChanged, stateOf } from '../../domain/chain/layer-mark.ts';
import { readExtents } from '../../domain/chain/read-extents.ts';
import { orMissing } from '../../host/files/file-errors.ts';
import type { ImageFile, SourceImage } from '../../qemu/qemu-img-types.ts';
import type { LayerFile } from '../qcow2/layer-reader.ts';
import { hasDataFile } from '../qcow2/qcow2-header.ts';
import { coldLayers } from './cold-layers.ts';
import { CLUSTER, DataRuns } from './data-runs.ts';
import { hasZeros } from './zero-sample.ts';

/** A chain whose data lies at known offsets, and the image that it makes. */
export interface PlannedImage {
  layers: readonly string[];
  /** For each layer, a mark that changes if the file is changed. */
  marks: readonly string[];
  extents: DataExtents;
  virtualSize: number;
  /** Bytes of its data, in whole clusters. */
  dataBytes: number;
  /** For each layer: true if its data is not in the page cache, and is read past it. */
  cold: readonly boolean[];
  /** The image shares the layers' blocks if the file system can. */
  shares: boolean;
}

export interface PlanOptions {
  /** Accept clusters full of zeros, because the writer finds them itself. */
  skipZeroProbe?: boolean;
  /** With this much data or more, the image shares the layers' blocks; by default it never does. */
  minSharedBytes?: number;
}

/** Beyond this size the tables take too much memory. */
const MAX_VIRTUAL_SIZE = 16 * 1024 ** 4;

/**
 * Returns the plan, or `undefined` if qemu-img must write the image: if only QEMU can read the data, or,
 * unless `skipZeroProbe`, if many clusters are full of zeros, which qemu-img leaves out.
 *
 * NOTE: qemu-img locks its source and refuses a chain that is written to. Here nothing is locked: the
 * first layer must be the caller's own file, and all layers are checked again at the end. A block
 * device does not show whether it was written to, so qemu-img reads those.
 * @throws PublishError QEMU_IMG; INTEGRITY if the disk has another size; the signal's reason.
 */
export async function planImage(
  source: SourceImage & TimeLimits,
  virtualSize: number,
  options: PlanOptions = {},
): Promise<PlannedImage | undefined> {
  try {
    return await planReadable(source, virtualSize, options);
  } catch (error) {
    // qemu-img reports the same problem with the name of the file.
    if (isUnreadable(error)) return undefined;
    throw error;
  }
}

/** Like `planImage`, and also throws the file system's errors that `isUnreadable` accepts. */
export async function planReadable(
  source: SourceImage & TimeLimits,
  virtualSize: number,
  { skipZeroProbe = false, minSharedBytes = Infinity }: PlanOptions,
): Promise<PlannedImage | undefined> {
  const chain: ImageFile[] = [source, ...(source.backingChain ?? [])];
  const isKnown = chain.every(({ format }) => format === 'qcow2' || format === 'raw');
  // NOTE: an image without any cluster has a layout of its own, which qemu-img writes.
  if (!isKnown || virtualSize === 0 || virtualSize > MAX_VIRTUAL_SIZE) return undefined;
  const layers = chain.map(({ path }) => path);
  const limits = { ...source, late: () => lateError(source.path) };
  const facts = await inTime(limits, () => readableFacts(chain));
  if (facts === undefined) return undefined;
  const extents = await readExtents(source, virtualSize);
  if (extents === undefined) return undefined;
  const runs = new DataRuns(extents);
  if (!skipZeroProbe && (await inTime(limits, () => hasZeros(layers, runs)))) return undefined;
  const dataBytes = runs.clusters * CLUSTER;
  const shares = dataBytes >= minSharedBytes;
  const cold = await inTime(limits, () => coldLayers(layers, extents));
  return { layers, marks: facts.map(stateOf), extents, virtualSize, dataBytes, cold, shares };
}

/** Returns the layers of a plan as its readers open them, the first one on top. */
export function layerFiles({ layers, cold }: Pick<PlannedImage, 'layers' | 'cold'>): LayerFile[] {
  return layers.map((path, n) => ({ path, cold: cold[n] ?? false }));
}

/** Returns whether the error means that a file is missing or cannot be read at the moment. */
export function isUnreadable(error: unknown): boolean {
  return hasCode(error, 'ENOENT', 'ENOTDIR', 'EACCES', 'EPERM', 'EIO', 'ESTALE');
}

/**
 * Returns the mark of a plan for the journal. Two plans with equal marks make the same bytes, as far as
 * the marks of the layers show.
 * NOTE: equal layers are not enough: a raw file can have space that is allocated but was never written;
 * whether its file system reports that as a hole depends on the page cache.
 */
export function markOfPlan({ marks, virtualSize, extents }: PlannedImage): string {
  const hash = createHash('sha256').update(JSON.stringify({ marks, virtualSize }));
  for (const each of [extents.start, extents.length, extents.depth, extents.at]) hash.update(each);
  return hash.digest('hex');
}

/**
 * @throws PublishError INTEGRITY if a layer was changed since the plan was made; UPLOAD or QEMU_IMG, by
 * the step, if a layer cannot be checked.
 */
export async function assertUnchanged(
  { layers, marks }: Pick<PlannedImage, 'layers' | 'marks'>,
  step: Step = 'convert',
): Promise<void> {
  for (const [index, path] of layers.entries()) {
    const now = await statOrMissing(path, step);
    if (now === undefined || stateOf(now) !== marks[index]) throw layerChanged(path, step);
  }
}

/** Returns `undefined` if the file is missing, which counts as changed. */
async function statOrMissing(path: string, step: Step): Promise<BigIntStats | undefined> {
  try {
    return await orMissing(stat(path, { bigint: true }));
  } catch (error) {
    const code = step === 'upload' ? 'UPLOAD' : 'QEMU_IMG';
    const hint = 'check the storage of that file, then run it again';
    throw new PublishError(code, `reading ${path} failed: ${messageOf(error)}`, { step, hint });
  }
}

function lateError(path: string): PublishError {
  const message = `reading the layout of ${path} and the files below it took longer than its deadline`;
  const hint = 'check whether the storage hangs';
  return new PublishError('QEMU_IMG', message, { step: 'convert', hint });
}

/** Returns `undefined` if a layer is no regular file, or if only QEMU knows the offsets of its data. */
async function readableFacts(chain: readonly ImageFile[]): Promise<BigIntStats[] | undefined> {
  const facts = await Promise.all(chain.map(({ path }) => stat(path, { bigint: true })));
  if (!facts.every((each) => each.isFile())) return undefined;
  const qcow2 = chain.filter(({ format }) => format === 'qcow2');
  const external = await Promise.all(qcow2.map(({ path }) => hasDataFile(path)));
  return external.includes(true) ? undefined : facts;
}
