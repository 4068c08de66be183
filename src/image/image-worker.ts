// The thread that writes a flat qcow2: reads the layers, hashes what they hold, and writes what is not there yet, each byte once.
import { createHash } from 'node:crypto';
import { workerData } from 'node:worker_threads';
import { ignoreRejection } from '../core/ignore-rejection.ts';
import { alignedMemory } from '../host/io/direct-file.ts';
import type { ChainReader } from './qcow2/chain-reader.ts';
import { fillImage } from './qcow2/fill-image.ts';
import { answer, type ImageWork, type Target, tell, type Written } from './qcow2/image-thread.ts';
import { Qcow2Layout } from './qcow2/qcow2-layout.ts';

const PIECE_BYTES = 2 * 1024 * 1024;
const PIECES = 8;
/** Pieces that are read while one is hashed and those before it are written. */
const READ_AHEAD = 3;
const TELL_BYTES = 16 * 1024 * 1024;

export interface PlainImageWork extends ImageWork {
  /** Names of the digests to compute. */
  algorithms: readonly string[];
}

const work = workerData as PlainImageWork;
const memory = alignedMemory(PIECE_BYTES, PIECES).map(({ buffer, byteOffset, byteLength }) =>
  Buffer.from(buffer, byteOffset, byteLength),
);
const hashes = work.algorithms.map((name) => [name, createHash(name)] as const);

/** Reads run ahead, writes lag behind; what is between them is hashed in the order of the bytes. */
async function writeImage(chain: ChainReader, target: Target): Promise<Written> {
  const layout = new Qcow2Layout(work);
  const count = Math.ceil(layout.size / PIECE_BYTES);
  // What is under way, by the number of its piece.
  const reads = new Map<number, Promise<Buffer>>();
  const writes = new Map<number, Promise<void>>();
  const read = (n: number) => {
    const free = writes.get(n - PIECES) ?? Promise.resolve();
    reads.set(n, ignoreRejection(free.then(() => fillPiece(n, chain, layout))));
  };
  for (let n = 0; n < Math.min(count, READ_AHEAD); n += 1) read(n);
  const settled = settledTeller(layout.size);
  try {
    for (let n = 0; n < count; n += 1) {
      const piece = (await reads.get(n)) ?? Buffer.alloc(0);
      reads.delete(n);
      if (n + READ_AHEAD < count) read(n + READ_AHEAD);
      for (const [, hash] of hashes) hash.update(piece);
      const before = writes.get(n - 1) ?? Promise.resolve();
      const written = writePiece(piece, n * PIECE_BYTES, { target, layout });
      // One that follows another counts as written when both are.
      const end = n * PIECE_BYTES + piece.byteLength;
      writes.set(n, ignoreRejection(Promise.all([before, written]).then(() => settled(end))));
      writes.delete(n - PIECES);
    }
    await writes.get(count - 1);
  } finally {
    // The memory is in use until then.
    await Promise.allSettled([...reads.values(), ...writes.values()]);
  }
  const digests = hashes.map(([name, hash]) => [name, hash.digest('hex')]);
  return { size: layout.size, digests: Object.fromEntries(digests) };
}

async function fillPiece(n: number, chain: ChainReader, layout: Qcow2Layout): Promise<Buffer> {
  const start = n * PIECE_BYTES;
  const end = Math.min(start + PIECE_BYTES, layout.size);
  const piece = (memory[n % PIECES] ?? Buffer.alloc(0)).subarray(0, end - start);
  await fillImage(piece, start, { chain, layout });
  return piece;
}

/** Writes the piece at byte `start` of the file, or its tables alone if the data is shared. */
async function writePiece(
  piece: Buffer,
  start: number,
  { target, layout }: { target: Target; layout: Qcow2Layout },
): Promise<void> {
  const bytes = work.isShared ? Math.max(0, layout.dataAt - start) : piece.byteLength;
  await target.write(piece.subarray(0, bytes), start);
}

function settledTeller(size: number): (bytes: number) => void {
  let told = 0;
  return (bytes) => {
    if (bytes - told < TELL_BYTES && bytes < size) return;
    told = bytes;
    tell({ kind: 'bytes', bytes });
  };
}

// Last: what it uses must be there.
await answer(work, writeImage);
