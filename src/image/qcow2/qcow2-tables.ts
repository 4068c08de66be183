// The header and the tables of a flat qcow2: refcount table, refcount blocks, L1 table, L2 tables, in whole clusters. Pure.
import { CLUSTER } from '../plan/data-runs.ts';

export const L2_ENTRIES = CLUSTER / 8;
/** Refcounts in one refcount block. */
export const REFCOUNTS = CLUSTER / 2;
/** Flag of an L1 or L2 entry: the cluster is used once, so it may be written in place. */
export const COPIED = 0x80000000;

/** The compression type and seven bytes of padding follow it. */
const PLAIN_HEADER_BYTES = 104;
const ZSTD_HEADER_BYTES = 112;
/** Bit of the incompatible features. */
const HAS_COMPRESSION_TYPE = 8;
const ZSTD = 1;

/** @see https://www.qemu.org/docs/master/interop/qcow2.html */
export class Qcow2Tables {
  /** The number of the first cluster of each kind. */
  readonly first: { table: number; blocks: number; l1: number; l2: number; data: number };
  readonly #virtualSize: number;
  readonly #l2Regions: readonly number[];

  /**
   * `l2Regions`: which runs of `L2_ENTRIES` clusters of the guest have an L2 table, rising;
   * `dataClusters`: the most clusters that the file can have behind the tables.
   */
  constructor(virtualSize: number, l2Regions: readonly number[], dataClusters: number) {
    // Behind the header.
    const table = 1;
    this.#virtualSize = virtualSize;
    this.#l2Regions = l2Regions;
    const l1Clusters = Math.max(1, Math.ceil((this.#l1Size * 8) / CLUSTER));
    const counts = refcountClusters(table + l1Clusters + l2Regions.length + dataClusters);
    const blocks = table + counts.table;
    const l1 = blocks + counts.blocks;
    const l2 = l1 + l1Clusters;
    this.first = { table, blocks, l1, l2, data: l2 + l2Regions.length };
  }

  fillHeader(cluster: Buffer, { compressed }: { compressed: boolean }): void {
    const { table, blocks, l1 } = this.first;
    cluster.write('QFI\xfb', 0, 'latin1');
    cluster.writeUInt32BE(3, 4);
    cluster.writeUInt32BE(Math.log2(CLUSTER), 20);
    writeOffset(cluster, this.#virtualSize, 24);
    cluster.writeUInt32BE(this.#l1Size, 36);
    writeOffset(cluster, l1 * CLUSTER, 40);
    writeOffset(cluster, table * CLUSTER, 48);
    cluster.writeUInt32BE(blocks - table, 56);
    // 16 bits a refcount.
    cluster.writeUInt32BE(4, 96);
    cluster.writeUInt32BE(compressed ? ZSTD_HEADER_BYTES : PLAIN_HEADER_BYTES, 100);
    if (!compressed) return;
    cluster.writeUInt32BE(HAS_COMPRESSION_TYPE, 76);
    cluster.writeUInt8(ZSTD, 104);
  }

  /** Fills the `n`-th cluster of the refcount table. */
  fillRefcountTable(cluster: Buffer, n: number): void {
    const { blocks, l1 } = this.first;
    const count = l1 - blocks;
    for (let entry = 0; entry < L2_ENTRIES && n * L2_ENTRIES + entry < count; entry += 1) {
      writeOffset(cluster, (blocks + n * L2_ENTRIES + entry) * CLUSTER, entry * 8);
    }
  }

  /** Fills the `n`-th cluster of the L1 table. */
  fillL1(cluster: Buffer, n: number): void {
    this.#l2Regions.forEach((region, at) => {
      const entry = region - n * L2_ENTRIES;
      if (entry < 0 || entry >= L2_ENTRIES) return;
      writeOffset(cluster, (this.first.l2 + at) * CLUSTER, entry * 8, COPIED);
    });
  }

  get #l1Size(): number {
    return Math.ceil(this.#virtualSize / (L2_ENTRIES * CLUSTER));
  }
}

/** Writes an entry of a table; `flags` are or-ed into its upper 32 bits. */
export function writeOffset(cluster: Buffer, offset: number, at: number, flags = 0): void {
  cluster.writeUInt32BE((Math.floor(offset / 2 ** 32) | flags) >>> 0, at);
  cluster.writeUInt32BE(offset % 2 ** 32, at + 4);
}

/** Returns how many clusters are needed to count all clusters, including themselves. */
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
