// Where the clusters of one piece go in a compressed qcow2, with little lost between them. Pure.
import { CLUSTER } from '../plan/data-runs.ts';

/**
 * Bytes of the file: some of those that became shorter, one
 * after the other, then all that did not, then the other shorter ones.
 */
export interface PiecePlace {
  packedAt: number;
  /** How many of the shorter ones come first. */
  packedClusters: number;
  /** A multiple of 64 KiB. */
  storedAt: number;
  restAt: number;
  /** Where the next piece may begin. */
  end: number;
}

/**
 * Places a piece behind byte `at`. `lengths`: of each cluster, 0 where it is full of zeros, the
 * bytes it was compressed to, or 64 KiB where it did not become shorter.
 *
 * NOTE: a cluster that is stored as it is begins at a cluster of the file, and one that was
 * compressed may reach into the next cluster only if that holds compressed ones too. So what is
 * left of a cluster before stored ones is lost: there is one such place in a piece at most, where
 * least is left.
 */
export function placePiece(at: number, lengths: Uint32Array): PiecePlace {
  const packed = [...lengths].filter((length) => length > 0 && length < CLUSTER);
  const stored = lengths.filter((length) => length === CLUSTER).length * CLUSTER;
  const packedClusters = stored === 0 ? packed.length : bestCut(at, packed);
  const packedEnd = at + sum(packed.slice(0, packedClusters));
  const storedAt = roundUp(packedEnd);
  const restAt = stored === 0 ? packedEnd : storedAt + stored;
  const end = restAt + sum(packed.slice(packedClusters));
  return { packedAt: at, packedClusters, storedAt, restAt, end };
}

/** To whole clusters. */
export function roundUp(bytes: number): number {
  return Math.ceil(bytes / CLUSTER) * CLUSTER;
}

/** After how many of the compressed clusters least is left of a cluster of the file. */
function bestCut(at: number, packed: readonly number[]): number {
  let end = at;
  let best = { count: 0, left: left(at) };
  packed.forEach((length, n) => {
    end += length;
    if (left(end) < best.left) best = { count: n + 1, left: left(end) };
  });
  return best.count;
}

/** Of the cluster that the byte before `at` lies in. */
function left(at: number): number {
  return roundUp(at) - at;
}

function sum(lengths: readonly number[]): number {
  return lengths.reduce((total, length) => total + length, 0);
}
