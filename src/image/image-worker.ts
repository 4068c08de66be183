// The thread that writes a flat qcow2: reads the layers, hashes the image and writes it, each byte once.
import { createHash } from 'node:crypto';
import { workerData } from 'node:worker_threads';
import { ignoreRejection } from '../core/ignore-rejection.ts';
import { alignedMemory } from '../host/io/direct-file.ts';
import type { ChainReader } from './qcow2/chain-reader.ts';
import { fillImage } from './qcow2/fill-image.ts';
import { answer, type ImageWork, post, type Target, type Written } from './qcow2/image-thread.ts';
import { Qcow2Layout } from './qcow2/qcow2-layout.ts';

const PIECE_BYTES = 2 * 1024 * 1024;
const PIECES = 8;
/** Pieces that are read while one is hashed and earlier ones are written. */
const READ_AHEAD = 3;
const REPORT_BYTES = 16 * 1024 * 1024;

export interface PlainImageWork extends ImageWork {
  /** Names of the digests to compute. */
  algorithms: readonly string[];
}

const work = workerData as PlainImageWork;
const memory = alignedMemory(PIECE_BYTES, PIECES).map(({ buffer, byteOffset, byteLength }) =>
  Buffer.from(buffer, byteOffset, byteLength),
);
const hashes = work.algorithms.map((name) => [name, createHash(name)] as const);

/** Reads run ahead and writes lag behind; between them the pieces are hashed in order. */
async function writeImage(chain: ChainReader, target: Target): Promise<Written> {
  const layout = new Qcow2Layout(work);
  const count = Math.ceil(layout.size / PIECE_BYTES);
  // Pending reads and writes, by the number of the piece.
  const reads = new Map<number, Promise<Buffer>>();
  const writes = new Map<number, Promise<void>>();
  const read = (n: number) => {
    const free = writes.get(n - PIECES) ?? Promise.resolve();
    reads.set(n, ignoreRejection(free.then(() => fillPiece(n, chain, layout))));
  };
  for (let n = 0; n < Math.min(count, READ_AHEAD); n += 1) read(n);
  const reportSettled = settledReporter(layout.size);
  try {
    for (let n = 0; n < count; n += 1) {
      const piece = (await reads.get(n)) ?? Buffer.alloc(0);
      reads.delete(n);
      if (n + READ_AHEAD < count) read(n + READ_AHEAD);
      for (const [, hash] of hashes) hash.update(piece);
      const before = writes.get(n - 1) ?? Promise.resolve();
      const written = writePiece(piece, n * PIECE_BYTES, { target, layout });
      // A piece is settled when it and all pieces before it are written.
      const end = n * PIECE_BYTES + piece.byteLength;
      writes.set(n, ignoreRejection(Promise.all([before, written]).then(() => reportSettled(end))));
      writes.delete(n - PIECES);
    }
    await writes.get(count - 1);
  } finally {
    // Until then the memory is in use.
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

function settledReporter(size: number): (bytes: number) => void {
  let reported = 0;
  return (bytes) => {
    if (bytes - reported < REPORT_BYTES && bytes < size) return;
    reported = bytes;
    post({ kind: 'bytes', bytes });
  };
}

// Last: the constants above must be initialized before the work begins.
await answer(work, writeImage);
