// The thread that writes a compressed flat qcow2: reads the layers ahead, compresses pieces, packs and writes them.
import { workerData } from 'node:worker_threads';
import { ignoreRejection } from '../core/ignore-rejection.ts';
import { CompressedLayout, type PlacedTable } from './compress/compressed-layout.ts';
import { PackedWriter } from './compress/packed-writer.ts';
import { PIECE_BYTES, PIECE_CLUSTERS, Piece } from './compress/piece.ts';
import { CLUSTER, DataRuns } from './plan/data-runs.ts';
import type { ChainReader } from './qcow2/chain-reader.ts';
import { answer, type ImageWork, post, type Target, type Written } from './qcow2/image-thread.ts';

/** Read or compressed at a time: enough to keep Node's four pool threads busy while one is written. */
const PIECES = 8;
const REPORT_PIECES = 8;

const work = workerData as ImageWork;
const pieces = Piece.allocate(PIECES);

/** Pieces are read and compressed side by side, and written in the order of the guest. */
async function writeImage(chain: ChainReader, target: Target): Promise<Written> {
  const runs = new DataRuns(work.extents);
  const layout = new CompressedLayout(work.virtualSize, runs);
  const writer = new PackedWriter(target, layout.dataAt);
  const count = Math.ceil(runs.clusters / PIECE_CLUSTERS);
  const clustersOf = (n: number) => Math.min(PIECE_CLUSTERS, runs.clusters - n * PIECE_CLUSTERS);
  // The work under way, by the number of its piece.
  const compressed = new Map<number, Promise<Piece>>();
  const start = (n: number, piece: Piece) => {
    if (n < count) compressed.set(n, ignoreRejection(compressPiece(piece, n)));
  };
  const compressPiece = async (piece: Piece, n: number) => {
    const data = piece.data.subarray(0, clustersOf(n) * CLUSTER);
    const from = n * PIECE_BYTES;
    await chain.fill(data, runs.segments(from, from + data.byteLength));
    await piece.compress(clustersOf(n));
    return piece;
  };
  try {
    for (const [n, piece] of pieces.entries()) start(n, piece);
    for (let n = 0; n < count; n += 1) {
      const piece = await compressed.get(n);
      if (!piece) throw new Error(`piece ${n} was not started`);
      compressed.delete(n);
      await packPiece(piece, clustersOf(n), { layout, writer });
      start(n + PIECES, piece);
      await writeTables(layout.takeFullTables(), target);
      if (n % REPORT_PIECES === 0) post({ kind: 'bytes', bytes: n * PIECE_BYTES });
    }
    await writer.finish(layout.size);
    await writeTables(layout.takeLastTables(), target);
    post({ kind: 'bytes', bytes: runs.clusters * CLUSTER });
  } finally {
    await Promise.allSettled(compressed.values());
    await writer.settled();
    for (const piece of pieces) piece.close();
  }
  return { size: layout.size, digests: {} };
}

async function packPiece(
  { data, lengths }: Piece,
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

// Last: the constants above must be initialized before the work begins.
await answer(work, writeImage);
