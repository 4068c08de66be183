// Computes the layout of a flat qcow2 before a byte of it is written. Pure.
import type { DiskData } from '../../domain/chain/extents.ts';
import { CLUSTER, DataRuns, type Segment } from '../plan/data-runs.ts';
import { COPIED, L2_ENTRIES, Qcow2Tables, REFCOUNTS, writeOffset } from './qcow2-tables.ts';

/**
 * A qcow2 (compat 1.1) without backing file, snapshots and compression, its clusters of 64 KiB:
 * header, tables, then the data in the guest's order. Clusters without data are not in the file.
 */
export class Qcow2Layout {
  /** Bytes of the file. */
  readonly size: number;
  /** The byte that the data begins at. */
  readonly dataAt: number;
  readonly #runs: DataRuns;
  readonly #l2Regions: number[];
  readonly #tables: Qcow2Tables;

  constructor({ virtualSize, extents }: DiskData) {
    this.#runs = new DataRuns(extents);
    this.#l2Regions = this.#runs.regions(L2_ENTRIES);
    const { clusters } = this.#runs;
    this.#tables = new Qcow2Tables(virtualSize, this.#l2Regions, clusters);
    this.dataAt = this.#tables.first.data * CLUSTER;
    this.size = this.dataAt + clusters * CLUSTER;
  }

  /** Yields the layers' data in the bytes `start` to `end` (both multiples of 64 KiB) of the file. */
  *segments(start: number, end: number): Generator<Segment> {
    const from = Math.max(start, this.dataAt);
    if (from >= end) return;
    for (const segment of this.#runs.segments(from - this.dataAt, end - this.dataAt)) {
      yield { ...segment, to: segment.to + from - start };
    }
  }

  /** Fills the tables' clusters in `piece`, which begins at byte `start` of the file. */
  fillTables(piece: Buffer, start: number): void {
    if (start === 0) this.#tables.fillHeader(piece, { compressed: false });
    const end = Math.min(start + piece.byteLength, this.dataAt);
    for (let at = Math.max(start, CLUSTER); at < end; at += CLUSTER) {
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

  /** Each cluster of the file is used once. */
  #fillRefcounts(cluster: Buffer, from: number): void {
    const until = Math.min(from + REFCOUNTS, this.size / CLUSTER);
    for (let n = from; n < until; n += 1) cluster.writeUInt16BE(1, (n - from) * 2);
  }

  #fillL2(cluster: Buffer, from: number): void {
    const { data } = this.#tables.first;
    for (const { guest, count, index } of this.#runs.within(from, from + L2_ENTRIES)) {
      for (let n = 0; n < count; n += 1) {
        writeOffset(cluster, (data + index + n) * CLUSTER, (guest - from + n) * 8, COPIED);
      }
    }
  }
}
