// Writes a flat qcow2 in one pass of our own, where each byte of the chain can be read at a known place.
import type { BigIntStats } from 'node:fs';
import { open, stat } from 'node:fs/promises';
import { setTimeout as sleep } from 'node:timers/promises';
import { Worker } from 'node:worker_threads';
import { hasCode, messageOf, PublishError } from '../errors.ts';
import { type DataExtents, readExtents } from './extents.ts';
import type { ImageAnswer, ImageWork } from './image-worker.ts';
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
  /** Bytes of the file. */
  size: number;
}

export interface WriteImageOptions {
  path: string;
  /** In hex at the end, sha256 among them. */
  algorithms: readonly string[];
  /** All before that byte is in the file and stays as it is. */
  onSettled: (bytes: number) => void;
  timeoutMs: number;
  signal: AbortSignal;
}

/** Beyond it the tables take more memory than there should be. */
const MAX_VIRTUAL_SIZE = 16 * 1024 ** 4;
const CLOSE_GRACE_MS = 1000;
/** Incompatible features: eight bytes, after version 3. */
const QCOW2_FEATURES_AT = 72;
const EXTERNAL_DATA_FILE = 4;

/**
 * `undefined` where qemu-img must do it: data that QEMU alone can read, or clusters full of zeros,
 * which it leaves out and which can be found by reading them only.
 *
 * NOTE: qemu-img locks what it reads and refuses a chain that somebody writes to. Here nothing is
 * locked: the first layer must be the caller's own, and the others are looked at again at the end.
 * A block device does not tell whether it was written to.
 * @throws PublishError QEMU_IMG, INTEGRITY where the disk has another size; the signal's reason.
 */
export async function planImage(
  source: SourceImage & CallLimits,
  virtualSize: number,
): Promise<PlannedImage | undefined> {
  try {
    return await planChain(source, virtualSize);
  } catch (error) {
    // What is wrong with a file, qemu-img tells with its name and the cure.
    if (hasCode(error, 'ENOENT', 'ENOTDIR', 'EACCES', 'EPERM', 'EIO', 'ESTALE')) return undefined;
    throw error;
  }
}

async function planChain(
  source: SourceImage & CallLimits,
  virtualSize: number,
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
  const layout = new Qcow2Layout(virtualSize, extents);
  if (await hasZeros(layers, layout)) return undefined;
  return { layers, marks: facts.map(markOf), extents, virtualSize, size: layout.size };
}

/**
 * Resolves to the digests of what was written, when it is on the disk.
 * @throws PublishError NO_SPACE, QEMU_IMG; INTEGRITY where a layer was changed meanwhile; the
 * signal's reason.
 */
export async function writeImage(
  { layers, marks, extents, virtualSize }: PlannedImage,
  { path, algorithms, onSettled, timeoutMs, signal }: WriteImageOptions,
): Promise<Record<string, string>> {
  signal.throwIfAborted();
  const work: ImageWork = { layers, extents, virtualSize, path, algorithms };
  // `.js`: a thread starts from what was built; the compiler rewrites imports, not URLs.
  const worker = new Worker(new URL('./image-worker.js', import.meta.url), {
    workerData: work,
    env: {},
    // A thread takes over the flags of the program it is used in, and dies of some (`--input-type`).
    execArgv: [],
  });
  const deadline = AbortSignal.timeout(timeoutMs);
  try {
    const digests = await answerOf(worker, { path, onSettled, signal, deadline });
    await refuseChanged(layers, marks);
    return digests;
  } finally {
    await end(worker);
  }
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

async function refuseChanged(layers: readonly string[], marks: readonly string[]): Promise<void> {
  for (const [index, path] of layers.entries()) {
    // One that is gone was changed too.
    const now = await stat(path, { bigint: true }).catch(() => undefined);
    if (now !== undefined && markOf(now) === marks[index]) continue;
    const message = `${path} was changed while it was read; wait until nobody works on that chain (a block commit, a snapshot that is reverted), and publish again`;
    throw new PublishError('INTEGRITY', message, { step: 'convert', retryable: true });
  }
}

/** NOTE: not the ctime: libvirt labels a base image whenever another of its domains starts. */
function markOf({ dev, ino, size, mtimeNs }: BigIntStats): string {
  return [dev, ino, size, mtimeNs].join(' ');
}

function answerOf(
  worker: Worker,
  {
    path,
    onSettled,
    signal,
    deadline,
  }: Pick<WriteImageOptions, 'path' | 'onSettled' | 'signal'> & { deadline: AbortSignal },
): Promise<Record<string, string>> {
  return new Promise((resolve, reject) => {
    signal.addEventListener('abort', () => reject(signal.reason), { once: true });
    const late = 'it took longer than its deadline: see whether the storage hangs';
    deadline.addEventListener('abort', () => reject(failure(path, late)), { once: true });
    worker.on('error', (error) => reject(failure(path, messageOf(error))));
    worker.on('exit', () => reject(failure(path, 'its thread has ended')));
    worker.on('message', (answer: ImageAnswer) => {
      if (answer.kind === 'settled') onSettled(answer.bytes);
      else if (answer.kind === 'done') resolve(answer.digests);
      else reject(failure(path, answer.message, answer.code));
    });
  });
}

/** NOTE: a thread that hangs in a read (a file server that is gone) cannot be ended. */
async function end(worker: Worker): Promise<void> {
  const enough = new AbortController();
  const grace = sleep(CLOSE_GRACE_MS, undefined, { signal: enough.signal }).catch(() => undefined);
  await Promise.race([worker.terminate(), grace]);
  enough.abort();
  worker.unref();
}

function failure(path: string, message: string, code?: string): PublishError {
  const isFull = code === 'ENOSPC' || code === 'EDQUOT';
  const cure = isFull
    ? 'no space left on the file system; free some space there, or use --work-dir on a larger file system'
    : message;
  return new PublishError(isFull ? 'NO_SPACE' : 'QEMU_IMG', `writing ${path} failed: ${cure}`, {
    step: 'convert',
  });
}
