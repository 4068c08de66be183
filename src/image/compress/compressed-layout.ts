// The layout of a compressed flat qcow2: tables for the most clusters possible, then the packed clusters. Pure.
import { CLUSTER, type DataRuns } from '../plan/data-runs.ts';
import { COPIED, L2_ENTRIES, Qcow2Tables, REFCOUNTS, writeOffset } from '../qcow2/qcow2-tables.ts';
import { type PiecePlace, placePiece, roundUp } from './piece-place.ts';

/** Bit 62 of an L2 entry. */
const COMPRESSED = 0x40000000;
const SECTOR = 512;
/** The place of the sector count in the upper half of an L2 entry: bit 62 - (cluster bits - 8). */
const SECTORS_SHIFT = 62 - (Math.log2(CLUSTER) - 8) - 32;

/** A table and its offset in the file. */
export interface PlacedTable {
  at: number;
  cluster: Buffer;
}

/**
 * A qcow2 (compat 1.1, compression type zstd) without backing file, with clusters of 64 KiB. The places
 * of the tables are fixed at the start, with room for data that does not become shorter. A table is
 * handed out as soon as it is complete, so few are in memory at a time.
 */
export class CompressedLayout {
  /** Bytes before the data. */
  readonly dataAt: number;
  readonly #runs: DataRuns;
  readonly #tables: Qcow2Tables;
  readonly #l2Regions: readonly number[];
  /** Incomplete tables, by their number among their kind. */
  readonly #l2 = new Map<number, Buffer>();
  readonly #refcounts = new Map<number, Buffer>();
  /** Number of clusters added so far. */
  #added = 0;
  /** Index of the last region that a cluster was mapped in. */
  #region = 0;
  #end: number;

  constructor(virtualSize: number, runs: DataRuns) {
    this.#runs = runs;
    this.#l2Regions = runs.regions(L2_ENTRIES);
    this.#tables = new Qcow2Tables(virtualSize, this.#l2Regions, runs.clusters);
    const { data } = this.#tables.first;
    this.dataAt = data * CLUSTER;
    this.#end = this.dataAt;
    for (let n = 0; n < data; n += 1) this.#use(n * CLUSTER, CLUSTER);
  }

  /** Bytes of the file: whole clusters, since QEMU reads whole sectors of the last one. */
  get size(): number {
    return roundUp(this.#end);
  }

  /**
   * Adds the next clusters that have data, and returns their place. `lengths` has the bytes of each: 0
   * if it is full of zeros, 64 KiB if it did not become shorter.
   */
  add(lengths: Uint32Array): PiecePlace {
    const place = placePiece(this.#end, lengths);
    let { packedAt, storedAt } = place;
    let packed = 0;
    const until = this.#added + lengths.length;
    let n = 0;
    for (const cluster of this.#runs.guestClusters(this.#added, until)) {
      const length = lengths[n] ?? 0;
      n += 1;
      if (length === CLUSTER) {
        this.#map(cluster, storedAt, COPIED);
        this.#use(storedAt, length);
        storedAt += length;
      } else if (length > 0) {
        if (packed === place.packedClusters) packedAt = place.restAt;
        packed += 1;
        this.#map(cluster, packedAt, COMPRESSED | (sectorsMore(packedAt, length) << SECTORS_SHIFT));
        this.#use(packedAt, length);
        packedAt += length;
      }
    }
    this.#added = until;
    this.#end = place.end;
    return place;
  }

  /** Yields and drops the tables that are complete. */
  *takeFullTables(): Generator<PlacedTable> {
    yield* this.#takeTables({
      block: Math.floor(this.#end / CLUSTER / REFCOUNTS),
      l2: Math.max(-1, ...this.#l2.keys()),
    });
  }

  /** Yields the remaining tables after the last `add`, the header last. */
  *takeLastTables(): Generator<PlacedTable> {
    yield* this.#takeTables({ block: Infinity, l2: Infinity });
    const { blocks, l1, l2 } = this.#tables.first;
    for (let n = l1; n < l2; n += 1) {
      yield tableAt(n, (cluster) => this.#tables.fillL1(cluster, n - l1));
    }
    for (let n = 1; n < blocks; n += 1) {
      yield tableAt(n, (cluster) => this.#tables.fillRefcountTable(cluster, n - 1));
    }
    yield tableAt(0, (cluster) => this.#tables.fillHeader(cluster, { compressed: true }));
  }

  /** Yields and drops the tables before the given ones of their kinds. */
  *#takeTables({ block, l2 }: { block: number; l2: number }): Generator<PlacedTable> {
    const { first } = this.#tables;
    yield* takeBefore(this.#refcounts, block, first.blocks);
    yield* takeBefore(this.#l2, l2, first.l2);
  }

  /** A cluster of the file that several compressed clusters share counts each of them. */
  #use(at: number, length: number): void {
    for (let n = Math.floor(at / CLUSTER); n * CLUSTER < at + length; n += 1) {
      const block = tableIn(this.#refcounts, Math.floor(n / REFCOUNTS));
      const entry = (n % REFCOUNTS) * 2;
      block.writeUInt16BE(block.readUInt16BE(entry) + 1, entry);
    }
  }

  #map(cluster: number, at: number, flags: number): void {
    const region = Math.floor(cluster / L2_ENTRIES);
    // Clusters are added in the guest's order.
    while ((this.#l2Regions[this.#region] ?? region) < region) this.#region += 1;
    writeOffset(tableIn(this.#l2, this.#region), at, (cluster % L2_ENTRIES) * 8, flags);
  }
}

/** Yields and drops the tables before number `end`; table 0 is cluster `first` of the file. */
function* takeBefore(
  tables: Map<number, Buffer>,
  end: number,
  first: number,
): Generator<PlacedTable> {
  for (const [n, cluster] of tables) {
    if (n >= end) continue;
    tables.delete(n);
    yield { at: (first + n) * CLUSTER, cluster };
  }
}

function tableAt(n: number, fill: (cluster: Buffer) => void): PlacedTable {
  const cluster = Buffer.alloc(CLUSTER);
  fill(cluster);
  return { at: n * CLUSTER, cluster };
}

function tableIn(tables: Map<number, Buffer>, n: number): Buffer {
  const table = tables.get(n) ?? Buffer.alloc(CLUSTER);
  tables.set(n, table);
  return table;
}

/** Returns how many sectors the bytes at `at` reach into beyond their first one. */
function sectorsMore(at: number, length: number): number {
  return Math.floor((at + length - 1) / SECTOR) - Math.floor(at / SECTOR);
}
