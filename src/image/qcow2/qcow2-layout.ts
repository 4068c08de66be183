// How a flat qcow2 lies in its file, known before a byte of it is written. Pure.
import { type DiskData, extentsOf } from '../../domain/chain/extents.ts';
import { type ClusterRange, ReusedClusters } from '../delta/reused-clusters.ts';
import { CLUSTER, DataRuns, type Segment } from '../plan/data-runs.ts';
import { COPIED, L2_ENTRIES, Qcow2Tables, REFCOUNTS, writeOffset } from './qcow2-tables.ts';

/** A range of a file's bytes. */
export interface ByteRange {
  start: number;
  end: number;
}

/**
 * A qcow2 (compat 1.1) without backing file, snapshots and compression, its clusters of 64 KiB:
 * header, what stays of a top layer whose file it was, tables, then the other data in the guest's
 * order. Clusters without data are not in it, but for those that the top layer had for itself: they
 * are full of zeros, and nobody's.
 */
export class Qcow2Layout {
  /** Bytes of the file. */
  readonly size: number;
  /** Bytes of the file that were there, the header's among them; 0 where it is a new one. */
  readonly keptBytes: number;
  /** Where the data that are written newly begin. */
  readonly dataAt: number;
  readonly #kept: ReusedClusters;
  readonly #runs: DataRuns;
  readonly #l2Regions: number[];
  readonly #tables: Qcow2Tables;

  /** `kept`: clusters of the first layer's file that stay, as a plan found that they can; or 0. */
  constructor({ virtualSize, extents }: DiskData, kept: number) {
    const isKept = kept > 0;
    const found = isKept
      ? ReusedClusters.of({ virtualSize, extents }, kept)
      : ReusedClusters.none();
    if (!found) throw new Error('the top layer cannot stay where it lies');
    this.#kept = found;
    this.#runs = new DataRuns(isKept ? extentsOf(extents, (depth) => depth > 0) : extents);
    this.#l2Regions = risingUnion(this.#kept.regions(L2_ENTRIES), this.#runs.regions(L2_ENTRIES));
    const { clusters } = this.#runs;
    this.#tables = new Qcow2Tables(virtualSize, this.#l2Regions, clusters, this.#kept.end);
    this.keptBytes = kept * CLUSTER;
    this.dataAt = this.#tables.first.data * CLUSTER;
    this.size = this.dataAt + clusters * CLUSTER;
  }

  /**
   * What of the layers' files lies in the bytes `start` to `end` (both multiples of 64 KiB) of this
   * one; what stays is read where it is, from the first layer.
   */
  *segments(start: number, end: number): Generator<Segment> {
    for (const { from, until } of this.#keptIn(start, end)) {
      const at = from * CLUSTER;
      yield { depth: 0, at, length: until * CLUSTER - at, to: at - start };
    }
    yield* this.newSegments(start, end);
  }

  /** Those alone that are written newly. */
  *newSegments(start: number, end: number): Generator<Segment> {
    const from = Math.max(start, this.dataAt);
    if (from >= end) return;
    for (const segment of this.#runs.segments(from - this.dataAt, end - this.dataAt)) {
      yield { ...segment, to: segment.to + from - start };
    }
  }

  /** What of the bytes `start` to `end` is not there yet, before the data: header, zeros, tables. */
  *newRanges(start: number, end: number): Generator<ByteRange> {
    const until = Math.min(end, this.dataAt);
    let from = start;
    for (const kept of this.#keptIn(start, until)) {
      if (from < kept.from * CLUSTER) yield { start: from, end: kept.from * CLUSTER };
      from = kept.until * CLUSTER;
    }
    if (from < until) yield { start: from, end: until };
  }

  /** Fills the tables' clusters in `piece`, which is the file's from byte `start`. */
  fillTables(piece: Buffer, start: number): void {
    if (start === 0) this.#tables.fillHeader(piece, { compressed: false });
    const end = Math.min(start + piece.byteLength, this.dataAt);
    let at = Math.max(start, this.#kept.end * CLUSTER);
    for (; at < end; at += CLUSTER) {
      this.#fillTable(piece.subarray(at - start, at - start + CLUSTER), at / CLUSTER);
    }
  }

  #fillTable(cluster: Buffer, n: number): void {
    const { table, blocks, l1, l2 } = this.#tables.first;
    if (n < blocks) this.#tables.fillRefcountTable(cluster, n - table);
    else if (n < l1) this.#fillRefcounts(cluster, (n - blocks) * REFCOUNTS);
    else if (n < l2) this.#tables.fillL1(cluster, n - l1);
    else this.#fillL2(cluster, (this.#l2Regions[n - l2] ?? 0) * L2_ENTRIES);
  }

  /** Each cluster is used once: the header, what stays, and all behind it. */
  #fillRefcounts(cluster: Buffer, from: number): void {
    const until = Math.min(from + REFCOUNTS, this.size / CLUSTER);
    const count = (range: ClusterRange) => {
      for (let n = range.from; n < range.until; n += 1) cluster.writeUInt16BE(1, (n - from) * 2);
    };
    if (from === 0) count({ from: 0, until: 1 });
    for (const range of this.#kept.inFile(from, until)) count(range);
    count({ from: Math.max(from, this.#kept.end), until });
  }

  #fillL2(cluster: Buffer, from: number): void {
    const until = from + L2_ENTRIES;
    const map = (guest: number, count: number, first: number) => {
      for (let n = 0; n < count; n += 1) {
        writeOffset(cluster, (first + n) * CLUSTER, (guest - from + n) * 8, COPIED);
      }
    };
    for (const { guest, count, cluster: first } of this.#kept.inGuest(from, until)) {
      map(guest, count, first);
    }
    const { data } = this.#tables.first;
    for (const { guest, count, index } of this.#runs.within(from, until)) {
      map(guest, count, data + index);
    }
  }

  #keptIn(start: number, end: number): Iterable<ClusterRange> {
    return this.#kept.inFile(start / CLUSTER, Math.ceil(end / CLUSTER));
  }
}

function risingUnion(a: readonly number[], b: readonly number[]): number[] {
  return [...new Set([...a, ...b])].sort((x, y) => x - y);
}
