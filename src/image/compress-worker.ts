// A thread that compresses pieces of an image, one after the other, from and to memory that it shares.
import { parentPort, workerData } from 'node:worker_threads';
import { isZero } from '../host/io/zeros.ts';
import { tellLoaded } from '../host/native/thread-end.ts';
import type { CompressorSetup, PieceToCompress } from './compress/compressors.ts';
import { PieceMemory } from './compress/piece-memory.ts';
import type { Zstd } from './compress/zstd.ts';
import { CLUSTER } from './plan/data-runs.ts';

const compressed = Buffer.alloc(CLUSTER - 1);

const { state, memory, pieces } = workerData as CompressorSetup;
const slots = new PieceMemory(memory);

async function start(): Promise<void> {
  try {
    // Not a fixed import: whoever waits for the state must be told also where that fails.
    const { openZstd } = await import('./compress/zstd.ts');
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

/** A cluster that becomes shorter takes the place of what it was made of. */
function compressPiece(zstd: Zstd, { slot, clusters }: PieceToCompress): void {
  const { data, lengths } = slots.at(slot);
  for (let n = 0; n < clusters; n += 1) {
    const cluster = data.subarray(n * CLUSTER, (n + 1) * CLUSTER);
    lengths[n] = isZero(cluster) ? 0 : compress(zstd, cluster);
  }
}

/** NOTE: as QEMU, which takes 64 KiB or more for a cluster that cannot be compressed. */
function compress(zstd: Zstd, cluster: Buffer): number {
  const length = zstd.compress(cluster, compressed);
  if (length === undefined) return CLUSTER;
  compressed.copy(cluster, 0, 0, length);
  return length;
}

await start();
