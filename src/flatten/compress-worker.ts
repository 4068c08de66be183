// A thread that compresses pieces of an image, one after the other, from and to memory that it shares.
import { parentPort, workerData } from 'node:worker_threads';
import { tellLoaded } from '../native/thread-end.ts';
import type { CompressorSetup, PieceToCompress } from './compressors.ts';
import { CLUSTER } from './data-runs.ts';
import { PieceMemory } from './piece-memory.ts';
import type { Zstd } from './zstd.ts';

const ZEROS = Buffer.alloc(CLUSTER);

const { state, memory, pieces } = workerData as CompressorSetup;
const slots = new PieceMemory(memory);

async function start(): Promise<void> {
  try {
    // Not a fixed import: whoever waits for the state must be told also where that fails.
    const { openZstd } = await import('./zstd.ts');
    serve(openZstd());
    parentPort?.postMessage(true);
  } catch {
    parentPort?.postMessage(false);
    parentPort?.close();
  } finally {
    tellLoaded(state);
  }
}

function serve(zstd: Zstd): void {
  pieces.on('message', (piece: PieceToCompress) => {
    compressPiece(zstd, piece);
    pieces.postMessage(piece.slot);
  });
  parentPort?.once('message', () => {
    pieces.close();
    zstd.close();
    parentPort?.close();
  });
}

/** The shorter clusters follow one another in `packed`. */
function compressPiece(zstd: Zstd, { slot, clusters }: PieceToCompress): void {
  const { data, packed, lengths } = slots.at(slot);
  let end = 0;
  for (let n = 0; n < clusters; n += 1) {
    const cluster = data.subarray(n * CLUSTER, (n + 1) * CLUSTER);
    const length = isZero(cluster) ? 0 : compress(zstd, cluster, packed.subarray(end));
    lengths[n] = length;
    if (length < CLUSTER) end += length;
  }
}

/** NOTE: as QEMU, which takes 64 KiB or more for a cluster that cannot be compressed. */
function compress(zstd: Zstd, cluster: Buffer, to: Buffer): number {
  return zstd.compress(cluster, to.subarray(0, CLUSTER - 1)) ?? CLUSTER;
}

function isZero(cluster: Buffer): boolean {
  // The first byte tells for nearly all data.
  return cluster[0] === 0 && cluster.equals(ZEROS);
}

await start();
