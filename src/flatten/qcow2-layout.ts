// How a flat qcow2 lies in its file, known before a byte of it is written: tables first, then the data in the guest's order. Pure.
import { CLUSTER, DataRuns, lastAtOrBefore } from './data-runs.ts';
import type { DataExtents } from './extents.ts';

const L2_ENTRIES = CLUSTER / 8;
const REFCOUNTS = CLUSTER / 2;
/** This cluster and nobody else's: it may be written in place. */
const COPIED = 0x80000000;
const HEADER_BYTES = 104;

/** A run of a file's bytes and where it goes in a piece of the image. */
export interface Segment {
  depth: number;
  /** In the layer's file. */
  at: number;
  length: number;
  /** In the piece. */
  to: number;
}

/**
 * A qcow2 (compat 1.1) without backing file, snapshots and compression, its clusters of 64 KiB:
 * header, refcount table, refcount blocks, L1 table, L2 tables, data. Clusters without data are
 * not in it.
 * @see https://www.qemu.org/docs/master/interop/qcow2.html
 */
export class Qcow2Layout {
  /** Bytes of the file. */
  readonly size: number;
  /** Bytes before the data. */
  readonly dataAt: number;
  readonly #virtualSize: number;
  readonly #extents: DataExtents;
  readonly #runs: DataRuns;
  readonly #l2Regions: number[];
  /** Number of the first cluster of each kind. */
  readonly #first: { blocks: number; l1: number; l2: number; data: number };

  constructor(virtualSize: number, extents: DataExtents) {
    this.#virtualSize = virtualSize;
    this.#extents = extents;
    this.#runs = new DataRuns(extents);
    this.#l2Regions = this.#runs.regions(L2_ENTRIES);
    const l1 = Math.max(1, Math.ceil((this.#l1Size * 8) / CLUSTER));
    const others = 1 + l1 + this.#l2Regions.length + this.#runs.clusters;
    const { table, blocks } = refcountClusters(others);
    const afterBlocks = 1 + table + blocks;
    const data = afterBlocks + l1 + this.#l2Regions.length;
    this.#first = { blocks: 1 + table, l1: afterBlocks, l2: afterBlocks + l1, data };
    this.dataAt = data * CLUSTER;
    this.size = this.dataAt + this.#runs.clusters * CLUSTER;
  }

  /** Fills `cluster` (64 KiB) with the tables' cluster number `n`, 0 being the header. */
  fillTable(cluster: Buffer, n: number): void {
    cluster.fill(0);
    const { blocks, l1, l2 } = this.#first;
    if (n === 0) this.#fillHeader(cluster);
    else if (n < blocks) this.#fillRefcountTable(cluster, n - 1);
    else if (n < l1) this.#fillRefcounts(cluster, n - blocks);
    else if (n < l2) this.#fillL1(cluster, n - l1);
    else this.#fillL2(cluster, this.#l2Regions[n - l2] ?? 0);
  }

  /** What of the layers' files lies at `start` to `end` (both multiples of 64 KiB) of the data. */
  *segments(start: number, end: number): Generator<Segment> {
    for (const { guest, length, to } of this.#runs.slices(start / CLUSTER, end / CLUSTER)) {
      for (const segment of this.#inGuest(guest, guest + length)) {
        yield { ...segment, to: to + segment.to };
      }
    }
  }

  get dataClusters(): number {
    return this.#runs.clusters;
  }

  get #l1Size(): number {
    return Math.ceil(this.#virtualSize / (L2_ENTRIES * CLUSTER));
  }

  *#inGuest(start: number, end: number): Generator<Segment> {
    const { count, start: starts, length, at, depth } = this.#extents;
    let n = Math.max(0, lastAtOrBefore(starts, count, start));
    for (; n < count && (starts[n] ?? 0) < end; n += 1) {
      const from = Math.max(start, starts[n] ?? 0);
      const until = Math.min(end, (starts[n] ?? 0) + (length[n] ?? 0));
      if (from >= until) continue;
      const offset = (at[n] ?? 0) + from - (starts[n] ?? 0);
      yield { depth: depth[n] ?? 0, at: offset, length: until - from, to: from - start };
    }
  }

  #fillHeader(cluster: Buffer): void {
    const { blocks, l1 } = this.#first;
    cluster.write('QFI\xfb', 0, 'latin1');
    cluster.writeUInt32BE(3, 4);
    cluster.writeUInt32BE(Math.log2(CLUSTER), 20);
    writeOffset(cluster, this.#virtualSize, 24);
    cluster.writeUInt32BE(this.#l1Size, 36);
    writeOffset(cluster, l1 * CLUSTER, 40);
    writeOffset(cluster, CLUSTER, 48);
    cluster.writeUInt32BE(blocks - 1, 56);
    // 16 bits a refcount.
    cluster.writeUInt32BE(4, 96);
    cluster.writeUInt32BE(HEADER_BYTES, 100);
  }

  #fillRefcountTable(cluster: Buffer, n: number): void {
    const { blocks, l1 } = this.#first;
    const count = l1 - blocks;
    for (let entry = 0; entry < L2_ENTRIES && n * L2_ENTRIES + entry < count; entry += 1) {
      writeOffset(cluster, (blocks + n * L2_ENTRIES + entry) * CLUSTER, entry * 8);
    }
  }

  /** Each cluster of the file is used once. */
  #fillRefcounts(cluster: Buffer, n: number): void {
    const used = Math.min(REFCOUNTS, this.size / CLUSTER - n * REFCOUNTS);
    for (let entry = 0; entry < used; entry += 1) cluster.writeUInt16BE(1, entry * 2);
  }

  #fillL1(cluster: Buffer, n: number): void {
    this.#l2Regions.forEach((region, at) => {
      const entry = region - n * L2_ENTRIES;
      if (entry < 0 || entry >= L2_ENTRIES) return;
      writeOffset(cluster, (this.#first.l2 + at) * CLUSTER, entry * 8, COPIED);
    });
  }

  #fillL2(cluster: Buffer, region: number): void {
    const from = region * L2_ENTRIES;
    for (const { guest, count, index } of this.#runs.within(from, from + L2_ENTRIES)) {
      for (let n = 0; n < count; n += 1) {
        const offset = (this.#first.data + index + n) * CLUSTER;
        writeOffset(cluster, offset, (guest - from + n) * 8, COPIED);
      }
    }
  }
}

/** How many clusters count all clusters, themselves among them. */
function refcountClusters(others: number): { table: number; blocks: number } {
  let table = 1;
  let blocks = 1;
  for (;;) {
    const needed = Math.ceil((others + table + blocks) / REFCOUNTS);
    const wide = Math.ceil((needed * 8) / CLUSTER);
    if (needed <= blocks && wide <= table) return { table, blocks };
    blocks = Math.max(blocks, needed);
    table = Math.max(table, wide);
  }
}

function writeOffset(cluster: Buffer, offset: number, at: number, flags = 0): void {
  cluster.writeUInt32BE((Math.floor(offset / 2 ** 32) | flags) >>> 0, at);
  cluster.writeUInt32BE(offset % 2 ** 32, at + 4);
}
