// Places the clusters of one piece in a compressed qcow2 with little space between them. Pure.
import { CLUSTER } from '../plan/data-runs.ts';

/**
 * Offsets in the file. First come some of the compressed clusters, one after the other, then all stored
 * ones, then the other compressed ones.
 */
export interface PiecePlace {
  packedAt: number;
  /** How many of the compressed clusters come first. */
  packedClusters: number;
  /** A multiple of 64 KiB. */
  storedAt: number;
  restAt: number;
  /** The offset at which the next piece may begin. */
  end: number;
}

/**
 * Places a piece behind byte `at`. `lengths` has the bytes of each cluster: 0 if it is full of zeros,
 * 64 KiB if it did not become shorter and is stored.
 *
 * NOTE: a stored cluster begins at a cluster of the file. A compressed one may reach into the next
 * cluster only if that has compressed ones too. So the rest of a cluster before stored ones is
 * lost. A piece has at most one such place, at the smallest rest.
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

/** Rounds up to whole clusters. */
export function roundUp(bytes: number): number {
  return Math.ceil(bytes / CLUSTER) * CLUSTER;
}

/** Returns after how many compressed clusters the rest of the file's cluster is smallest. */
function bestCut(at: number, packed: readonly number[]): number {
  let end = at;
  let best = { count: 0, rest: restOf(at) };
  packed.forEach((length, n) => {
    end += length;
    if (restOf(end) < best.rest) best = { count: n + 1, rest: restOf(end) };
  });
  return best.count;
}

/** Returns the bytes from `at` to the end of its cluster of the file. */
function restOf(at: number): number {
  return roundUp(at) - at;
}

function sum(lengths: readonly number[]): number {
  return lengths.reduce((total, length) => total + length, 0);
}
