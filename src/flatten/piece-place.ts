// Where the clusters of one piece go in a compressed qcow2, with little lost between them. Pure.
import { CLUSTER } from './data-runs.ts';

/**
 * Bytes of the file: some of those that became shorter, one
 * after the other, then all that did not, then the other shorter ones.
 */
export interface PiecePlace {
  packedAt: number;
  /** Of the shorter ones that come first. */
  packedBytes: number;
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
  const total = sum(lengths, (length) => length < CLUSTER);
  const stored = sum(lengths, (length) => length === CLUSTER);
  const packedBytes = stored === 0 ? total : bestCut(at, lengths);
  const storedAt = roundUp(at + packedBytes);
  const restAt = stored === 0 ? at + packedBytes : storedAt + stored;
  return { packedAt: at, packedBytes, storedAt, restAt, end: restAt + total - packedBytes };
}

/** To whole clusters. */
export function roundUp(bytes: number): number {
  return Math.ceil(bytes / CLUSTER) * CLUSTER;
}

/** How many bytes of the compressed clusters leave least of a cluster of the file, from `at`. */
function bestCut(at: number, lengths: Uint32Array): number {
  let end = 0;
  let best = 0;
  for (const length of lengths) {
    if (length === CLUSTER) continue;
    end += length;
    if (left(at + end) < left(at + best)) best = end;
  }
  return best;
}

/** Of the cluster that the byte before `at` lies in. */
function left(at: number): number {
  return roundUp(at) - at;
}

function sum(lengths: Uint32Array, counts: (length: number) => boolean): number {
  return lengths.reduce((total, length) => (counts(length) ? total + length : total), 0);
}
