// The thread that writes a flat qcow2: reads the layers, hashes and writes what they hold, each byte once.
import { createHash } from 'node:crypto';
import { type FileHandle, open } from 'node:fs/promises';
import { parentPort, workerData } from 'node:worker_threads';
import { alignedMemory } from '../files/direct-file.ts';
import { DirectTarget, writeAll } from '../files/direct-target.ts';
import { CLUSTER } from './data-runs.ts';
import type { DataExtents } from './extents.ts';
import { LayerReader } from './layer-reader.ts';
import { Qcow2Layout } from './qcow2-layout.ts';

export interface ImageWork {
  /** The layers' files, the first one on top. */
  layers: readonly string[];
  extents: DataExtents;
  virtualSize: number;
  path: string;
  algorithms: readonly string[];
}

/** `settled`: all before that byte is written and stays as it is. */
export type ImageAnswer =
  | { kind: 'settled'; bytes: number }
  | { kind: 'done'; digests: Record<string, string> }
  | { kind: 'failed'; message: string; code: string | undefined };

const PIECE_BYTES = 2 * 1024 * 1024;
const PIECES = 8;
/** Pieces that are read while one is hashed and those before it are written. */
const READ_AHEAD = 3;
const TELL_BYTES = 16 * 1024 * 1024;

const work = workerData as ImageWork;
const layout = new Qcow2Layout(work.virtualSize, work.extents);
const memory = alignedMemory(PIECE_BYTES, PIECES).map(({ buffer, byteOffset, byteLength }) =>
  Buffer.from(buffer, byteOffset, byteLength),
);
const hashes = work.algorithms.map((name) => [name, createHash(name)] as const);

async function attempt(): Promise<ImageAnswer> {
  const layers: LayerReader[] = [];
  let file: FileHandle | undefined;
  let direct: DirectTarget | undefined;
  try {
    for (const path of work.layers) layers.push(await LayerReader.open(path));
    file = await open(work.path, 'w');
    direct = await DirectTarget.open(work.path, file);
    await writeImage(layers, direct ?? new BufferedTarget(file));
    await file.truncate(layout.size);
    await file.datasync();
    const digests = hashes.map(([name, hash]) => [name, hash.digest('hex')]);
    return { kind: 'done', digests: Object.fromEntries(digests) };
  } catch (error) {
    const { message, code } = error as NodeJS.ErrnoException;
    return { kind: 'failed', message, code };
  } finally {
    const open = [...layers, direct, file];
    await Promise.allSettled(open.map((each) => each?.close()));
  }
}

/** Reads run ahead, writes lag behind; what is between them is hashed in the order of the bytes. */
async function writeImage(layers: LayerReader[], target: Target): Promise<void> {
  const count = Math.ceil(layout.size / PIECE_BYTES);
  const reads: Promise<Buffer>[] = [];
  const writes: Promise<void>[] = [];
  const readNext = () => {
    const n = reads.length;
    const free = writes[n - PIECES] ?? Promise.resolve();
    reads.push(quiet(free.then(() => fillPiece(n, layers))));
  };
  const settled = settledTeller();
  try {
    for (let n = 0; n < count; n += 1) {
      while (reads.length < Math.min(count, n + READ_AHEAD)) readNext();
      const piece = (await reads[n]) ?? Buffer.alloc(0);
      delete reads[n];
      for (const [, hash] of hashes) hash.update(piece);
      const before = writes[n - 1] ?? Promise.resolve();
      const written = target.write(piece, n * PIECE_BYTES);
      // One that follows another counts as written when both are.
      writes[n] = quiet(
        Promise.all([before, written]).then(() => settled(n * PIECE_BYTES + piece.byteLength)),
      );
      delete writes[n - PIECES];
    }
    await writes.at(-1);
  } finally {
    // The memory is in use until then.
    await Promise.allSettled([...reads, ...writes]);
  }
}

async function fillPiece(n: number, layers: LayerReader[]): Promise<Buffer> {
  const start = n * PIECE_BYTES;
  const end = Math.min(start + PIECE_BYTES, layout.size);
  const piece = (memory[n % PIECES] ?? Buffer.alloc(0)).subarray(0, end - start);
  let at = start;
  for (; at < Math.min(end, layout.dataAt); at += CLUSTER) {
    layout.fillTable(piece.subarray(at - start, at - start + CLUSTER), at / CLUSTER);
  }
  if (at < end) await fillData(piece.subarray(at - start), at - layout.dataAt, layers);
  return piece;
}

/** `piece` is of the image's data, which begin at `from`. */
async function fillData(piece: Buffer, from: number, layers: LayerReader[]): Promise<void> {
  let filled = 0;
  for (const { depth, at, length, to } of layout.segments(from, from + piece.byteLength)) {
    piece.fill(0, filled, to);
    await layers[depth]?.fill(piece.subarray(to, to + length), at);
    filled = to + length;
  }
  piece.fill(0, filled);
}

function settledTeller(): (bytes: number) => void {
  let told = 0;
  return (bytes) => {
    if (bytes - told < TELL_BYTES && bytes < layout.size) return;
    told = bytes;
    tell({ kind: 'settled', bytes });
  };
}

interface Target {
  write(piece: Buffer, at: number): Promise<void>;
}

/** Where the file system has no way past the page cache. */
class BufferedTarget implements Target {
  readonly #file: FileHandle;

  constructor(file: FileHandle) {
    this.#file = file;
  }

  write(piece: Buffer, at: number): Promise<void> {
    return writeAll(this.#file, piece, at);
  }
}

function tell(answer: ImageAnswer): void {
  parentPort?.postMessage(answer);
}

/** Its failure is raised where it is awaited; until then it must not count as unhandled. */
function quiet<T>(promise: Promise<T>): Promise<T> {
  promise.catch(() => undefined);
  return promise;
}

// Last: what it uses must be there.
tell(await attempt());
