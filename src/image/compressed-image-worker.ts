// The thread that writes a compressed flat qcow2: reads the layers ahead, has the pieces compressed, packs and writes them.
import { workerData } from 'node:worker_threads';
import { ignoreRejection } from '../core/ignore-rejection.ts';
import { CompressedLayout, type PlacedTable } from './compress/compressed-layout.ts';
import { CompressorQueue } from './compress/compressor-queue.ts';
import type { CompressorPorts } from './compress/compressors.ts';
import { PackedWriter } from './compress/packed-writer.ts';
import { PIECE_BYTES, PIECE_CLUSTERS, PieceMemory, type Slot } from './compress/piece-memory.ts';
import { CLUSTER, DataRuns } from './plan/data-runs.ts';
import type { ChainReader } from './qcow2/chain-reader.ts';
import { answer, type ImageWork, type Target, tell, type Written } from './qcow2/image-thread.ts';

export interface CompressedImageWork extends ImageWork {
  compressors: CompressorPorts;
}

const TELL_PIECES = 8;

const work = workerData as CompressedImageWork;
const memory = new PieceMemory(work.compressors.memory);

/** Pieces are read and compressed side by side, and written in the order of the guest. */
async function writeImage(chain: ChainReader, target: Target): Promise<Written> {
  const runs = new DataRuns(work.extents);
  const layout = new CompressedLayout(work.virtualSize, runs);
  const queue = new CompressorQueue(work.compressors.ports);
  const writer = new PackedWriter(target, layout.dataAt);
  const count = Math.ceil(runs.clusters / PIECE_CLUSTERS);
  const clustersOf = (n: number) => Math.min(PIECE_CLUSTERS, runs.clusters - n * PIECE_CLUSTERS);
  // What is under way, by the number of its piece.
  const compressed = new Map<number, Promise<void>>();
  const start = (n: number) => {
    if (n < count) compressed.set(n, ignoreRejection(compressPiece(n, clustersOf(n))));
  };
  const compressPiece = async (n: number, clusters: number) => {
    const slot = n % memory.count;
    const { data } = memory.at(slot);
    const piece = data.subarray(0, clusters * CLUSTER);
    const from = n * PIECE_BYTES;
    await chain.fill(piece, runs.segments(from, from + piece.byteLength));
    await queue.compress({ slot, clusters });
  };
  try {
    for (let n = 0; n < memory.count; n += 1) start(n);
    for (let n = 0; n < count; n += 1) {
      await compressed.get(n);
      compressed.delete(n);
      await packPiece(memory.at(n % memory.count), clustersOf(n), { layout, writer });
      // Its slot is free again.
      start(n + memory.count);
      await writeTables(layout.takeFullTables(), target);
      if (n % TELL_PIECES === 0) tell({ kind: 'bytes', bytes: n * PIECE_BYTES });
    }
    await writer.finish(layout.size);
    await writeTables(layout.takeLastTables(), target);
    tell({ kind: 'bytes', bytes: runs.clusters * CLUSTER });
  } finally {
    await Promise.allSettled(compressed.values());
    await writer.settled();
    queue.close();
  }
  return { size: layout.size, digests: {} };
}

async function packPiece(
  { data, lengths }: Slot,
  clusters: number,
  { layout, writer }: { layout: CompressedLayout; writer: PackedWriter },
): Promise<void> {
  const these = lengths.subarray(0, clusters);
  const { packedAt, packedClusters, storedAt, restAt } = layout.add(these);
  const packed: Buffer[] = [];
  const stored: Buffer[] = [];
  these.forEach((length, n) => {
    const cluster = data.subarray(n * CLUSTER, n * CLUSTER + length);
    if (length === CLUSTER) stored.push(cluster);
    else if (length > 0) packed.push(cluster);
  });
  await writer.write(packed.slice(0, packedClusters), packedAt);
  await writer.write(stored, storedAt);
  await writer.write(packed.slice(packedClusters), restAt);
}

async function writeTables(tables: Iterable<PlacedTable>, target: Target): Promise<void> {
  for (const { at, cluster } of tables) await target.writeSmall(cluster, at);
}

// Last: what it uses must be there.
await answer(work, writeImage);
