// The thread that writes a compressed flat qcow2: reads the layers ahead, has the pieces compressed, packs and writes them.
import { workerData } from 'node:worker_threads';
import type { ChainReader } from './chain-reader.ts';
import { CompressedLayout, type PlacedTable } from './compressed-layout.ts';
import { CompressorQueue } from './compressor-queue.ts';
import type { CompressorPorts } from './compressors.ts';
import { CLUSTER, type DataRuns } from './data-runs.ts';
import { answer, type ImageWork, quiet, type Target, tell, type Written } from './image-thread.ts';
import { PackedWriter } from './packed-writer.ts';
import { PIECE_BYTES, PIECE_CLUSTERS, PieceMemory, type Slot } from './piece-memory.ts';

export interface CompressedImageWork extends ImageWork {
  compressors: CompressorPorts;
}

const TELL_PIECES = 8;

const work = workerData as CompressedImageWork;
const memory = new PieceMemory(work.compressors.memory);

/** Pieces are read and compressed side by side, and written in the order of the guest. */
async function writeImage(chain: ChainReader, target: Target, runs: DataRuns): Promise<Written> {
  const layout = new CompressedLayout(work.virtualSize, runs);
  const queue = new CompressorQueue(work.compressors.ports);
  const writer = new PackedWriter(target, layout.dataAt);
  const count = Math.ceil(runs.clusters / PIECE_CLUSTERS);
  const clustersOf = (n: number) => Math.min(PIECE_CLUSTERS, runs.clusters - n * PIECE_CLUSTERS);
  const compressed: Promise<void>[] = [];
  const startNext = () => {
    const n = compressed.length;
    compressed.push(quiet(compressPiece(n, clustersOf(n))));
  };
  const compressPiece = async (n: number, clusters: number) => {
    const slot = n % memory.count;
    const { data } = memory.at(slot);
    await chain.fill(data.subarray(0, clusters * CLUSTER), n * PIECE_BYTES);
    await queue.compress({ slot, clusters });
  };
  try {
    for (let n = 0; n < count; n += 1) {
      // The slot of the piece before this one is free again.
      while (compressed.length < Math.min(count, n + memory.count)) startNext();
      await compressed[n];
      delete compressed[n];
      await packPiece(memory.at(n % memory.count), clustersOf(n), { layout, writer });
      await writeTables(layout.takeFullTables(), target);
      if (n % TELL_PIECES === 0) tell({ kind: 'bytes', bytes: n * PIECE_BYTES });
    }
    await writer.finish(layout.size);
    await writeTables(layout.takeLastTables(), target);
  } finally {
    await Promise.allSettled(compressed);
    await writer.settled();
    queue.close();
  }
  return { size: layout.size, digests: {} };
}

async function packPiece(
  { data, packed, lengths }: Slot,
  clusters: number,
  { layout, writer }: { layout: CompressedLayout; writer: PackedWriter },
): Promise<void> {
  const these = lengths.subarray(0, clusters);
  const { packedAt, packedBytes, storedAt, restAt } = layout.add(these);
  await writer.write(packed.subarray(0, packedBytes), packedAt);
  let at = storedAt;
  for (const [from, to] of runsOf(these, CLUSTER)) {
    await writer.write(data.subarray(from * CLUSTER, to * CLUSTER), at);
    at += (to - from) * CLUSTER;
  }
  const shorter = these.reduce((sum, length) => (length < CLUSTER ? sum + length : sum), 0);
  await writer.write(packed.subarray(packedBytes, shorter), restAt);
}

/** Where `value` stands in `values`, as runs. */
function* runsOf(values: Uint32Array, value: number): Generator<[number, number]> {
  let from = 0;
  for (let n = 0; n <= values.length; n += 1) {
    if (values[n] === value) continue;
    if (n > from) yield [from, n];
    from = n + 1;
  }
}

async function writeTables(tables: Iterable<PlacedTable>, target: Target): Promise<void> {
  for (const { at, cluster } of tables) await target.writeSmall(cluster, at);
}

// Last: what it uses must be there.
await answer(work, writeImage);
