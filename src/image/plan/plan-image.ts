// Whether a chain's image can be written by a pass of our own, and what is to be read for it.
import { createHash } from 'node:crypto';
import type { BigIntStats } from 'node:fs';
import { stat } from 'node:fs/promises';
import { hasCode, messageOf, PublishError, type Step } from '../../core/errors.ts';
import { inTime, type TimeLimits } from '../../core/time-limit.ts';
import type { DataExtents } from '../../domain/chain/extents.ts';
import { layerChanged, stateOf } from '../../domain/chain/layer-mark.ts';
import { readExtents } from '../../domain/chain/read-extents.ts';
import type { ImageFile, SourceImage } from '../../qemu/qemu-img-types.ts';
import type { LayerFile } from '../qcow2/layer-reader.ts';
import { hasDataFile } from '../qcow2/qcow2-header.ts';
import { coldLayers } from './cold-layers.ts';
import { CLUSTER, DataRuns } from './data-runs.ts';
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
  /** For each layer: its data is not in the page cache, and is read past it. */
  cold: readonly boolean[];
  /** The image shares the layers' blocks if the file system can. */
  shares: boolean;
}

export interface PlanOptions {
  /** Zeros are found while it is written. */
  probeZeros?: boolean;
  /** With this much data or more, the image shares the layers' blocks; by default it never does. */
  minSharedBytes?: number;
}

/** Beyond it the tables take more memory than there should be. */
const MAX_VIRTUAL_SIZE = 16 * 1024 ** 4;

/**
 * `undefined` where qemu-img must do it: data that QEMU alone can read; or, unless `probeZeros`,
 * clusters full of zeros, which it leaves out and which can be found by reading them only.
 *
 * NOTE: qemu-img locks what it reads and refuses a chain that somebody writes to. Here nothing is
 * locked: the first layer must be the caller's own, and the others are looked at again at the end.
 * A block device does not tell whether it was written to.
 * @throws PublishError QEMU_IMG, INTEGRITY where the disk has another size; the signal's reason.
 */
export async function planImage(
  source: SourceImage & TimeLimits,
  virtualSize: number,
  options: PlanOptions = {},
): Promise<PlannedImage | undefined> {
  try {
    return await planReadable(source, virtualSize, options);
  } catch (error) {
    // What is wrong with a file, qemu-img tells with its name and the cure.
    if (isUnreadable(error)) return undefined;
    throw error;
  }
}

/** As `planImage`, for who does without qemu-img. @throws also what `isUnreadable` knows. */
export async function planReadable(
  source: SourceImage & TimeLimits,
  virtualSize: number,
  { probeZeros = false, minSharedBytes = Infinity }: PlanOptions,
): Promise<PlannedImage | undefined> {
  const chain: ImageFile[] = [source, ...(source.backingChain ?? [])];
  const isKnown = chain.every(({ format }) => format === 'qcow2' || format === 'raw');
  // NOTE: tables for no cluster at all are not laid out here; qemu-img knows what they are.
  if (!isKnown || virtualSize === 0 || virtualSize > MAX_VIRTUAL_SIZE) return undefined;
  const layers = chain.map(({ path }) => path);
  const limits = { ...source, late: () => lateLook(source.path) };
  const facts = await inTime(limits, () => readableFacts(chain));
  if (facts === undefined) return undefined;
  const extents = await readExtents(source, virtualSize);
  if (extents === undefined) return undefined;
  const runs = new DataRuns(extents);
  if (!probeZeros && (await inTime(limits, () => hasZeros(layers, runs)))) return undefined;
  const dataBytes = runs.clusters * CLUSTER;
  const shares = dataBytes >= minSharedBytes;
  const cold = await inTime(limits, () => coldLayers(layers, extents));
  return { layers, marks: facts.map(stateOf), extents, virtualSize, dataBytes, cold, shares };
}

/** Returns the layers of a plan as its readers open them, the first one on top. */
export function layerFiles({ layers, cold }: Pick<PlannedImage, 'layers' | 'cold'>): LayerFile[] {
  return layers.map((path, n) => ({ path, cold: cold[n] ?? false }));
}

/** Whether the system says that a file is not there, or cannot be read just now. */
export function isUnreadable(error: unknown): boolean {
  return hasCode(error, 'ENOENT', 'ENOTDIR', 'EACCES', 'EPERM', 'EIO', 'ESTALE');
}

/**
 * What a journal keeps of a plan: equal where the same bytes are made of it and the layers are what
 * they were, as far as their marks tell.
 * NOTE: the layers alone do not settle it: what a file system calls a hole of a raw file (space that
 * was set aside, and never written) changes with what lies in the page cache.
 */
export function markOfPlan({ marks, virtualSize, extents }: PlannedImage): string {
  const hash = createHash('sha256').update(JSON.stringify({ marks, virtualSize }));
  for (const each of [extents.start, extents.length, extents.depth, extents.at]) hash.update(each);
  return hash.digest('hex');
}

/**
 * @throws PublishError INTEGRITY where a layer that was only read is no longer what was planned with;
 * UPLOAD or QEMU_IMG, by the step, where it does not tell.
 */
export async function assertUnchanged(
  { layers, marks }: Pick<PlannedImage, 'layers' | 'marks'>,
  step: Step = 'convert',
): Promise<void> {
  for (const [index, path] of layers.entries()) {
    const now = await lookAgain(path, step);
    if (now === undefined || stateOf(now) !== marks[index]) throw layerChanged(path, step);
  }
}

/** One that is gone was changed too. */
async function lookAgain(path: string, step: Step): Promise<BigIntStats | undefined> {
  try {
    return await stat(path, { bigint: true });
  } catch (error) {
    if (hasCode(error, 'ENOENT', 'ENOTDIR')) return undefined;
    const code = step === 'upload' ? 'UPLOAD' : 'QEMU_IMG';
    throw new PublishError(code, `reading ${path} failed: ${messageOf(error)}`, { step });
  }
}

function lateLook(path: string): PublishError {
  const message = `looking at ${path} and what lies below it took longer than its deadline: see whether the storage hangs`;
  return new PublishError('QEMU_IMG', message, { step: 'convert' });
}

/** Returns `undefined` if one of them is no regular file, or only QEMU knows where its data lies. */
async function readableFacts(chain: readonly ImageFile[]): Promise<BigIntStats[] | undefined> {
  const facts = await Promise.all(chain.map(({ path }) => stat(path, { bigint: true })));
  if (!facts.every((each) => each.isFile())) return undefined;
  const qcow2 = chain.filter(({ format }) => format === 'qcow2');
  const external = await Promise.all(qcow2.map(({ path }) => hasDataFile(path)));
  return external.includes(true) ? undefined : facts;
}
