// How a flat qcow2 lies in its file, known before a byte of it is written: tables first, then the data in the guest's order. Pure.
import { CLUSTER, type DataRuns } from './data-runs.ts';
import { COPIED, L2_ENTRIES, Qcow2Tables, REFCOUNTS, writeOffset } from './qcow2-tables.ts';

/**
 * A qcow2 (compat 1.1) without backing file, snapshots and compression, its clusters of 64 KiB:
 * tables, then data. Clusters without data are not in it.
 */
export class Qcow2Layout {
  /** Bytes of the file. */
  readonly size: number;
  /** Bytes before the data. */
  readonly dataAt: number;
  readonly #runs: DataRuns;
  readonly #l2Regions: number[];
  readonly #tables: Qcow2Tables;

  constructor(virtualSize: number, runs: DataRuns) {
    this.#runs = runs;
    this.#l2Regions = runs.regions(L2_ENTRIES);
    this.#tables = new Qcow2Tables(virtualSize, this.#l2Regions, runs.clusters);
    this.dataAt = this.#tables.first.data * CLUSTER;
    this.size = this.dataAt + runs.clusters * CLUSTER;
  }

  /** Fills `cluster` (64 KiB) with the tables' cluster number `n`, 0 being the header. */
  fillTable(cluster: Buffer, n: number): void {
    cluster.fill(0);
    const { blocks, l1, l2 } = this.#tables.first;
    if (n === 0) this.#tables.fillHeader(cluster, { compressed: false });
    else if (n < blocks) this.#tables.fillRefcountTable(cluster, n - 1);
    else if (n < l1) this.#fillRefcounts(cluster, n - blocks);
    else if (n < l2) this.#tables.fillL1(cluster, n - l1);
    else this.#fillL2(cluster, this.#l2Regions[n - l2] ?? 0);
  }

  /** Each cluster of the file is used once. */
  #fillRefcounts(cluster: Buffer, n: number): void {
    const used = Math.min(REFCOUNTS, this.size / CLUSTER - n * REFCOUNTS);
    for (let entry = 0; entry < used; entry += 1) cluster.writeUInt16BE(1, entry * 2);
  }

  #fillL2(cluster: Buffer, region: number): void {
    const from = region * L2_ENTRIES;
    const { data } = this.#tables.first;
    for (const { guest, count, index } of this.#runs.within(from, from + L2_ENTRIES)) {
      for (let n = 0; n < count; n += 1) {
        writeOffset(cluster, (data + index + n) * CLUSTER, (guest - from + n) * 8, COPIED);
      }
    }
  }
}
