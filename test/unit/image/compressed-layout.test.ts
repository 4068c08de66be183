// Where the clusters of a compressed qcow2 go, and what its tables say of them.
import { describe, expect, it } from 'vitest';
import { CompressedLayout } from '#built/image/compress/compressed-layout.js';
import { placePiece } from '#built/image/compress/piece-place.js';
import { CLUSTER, DataRuns } from '#built/image/plan/data-runs.js';

const GIB = 1024 ** 3;

/** Runs of data, in the guest's clusters. */
function runsOf(...runs: [number, number][]): DataRuns {
  return new DataRuns({
    count: runs.length,
    start: Float64Array.from(runs.map(([first]) => first * CLUSTER)),
    length: Float64Array.from(runs.map(([, clusters]) => clusters * CLUSTER)),
    depth: new Uint8Array(runs.length),
    at: new Float64Array(runs.length),
  });
}

/** Adds all at once; gives the tables by their cluster's number. */
function tablesOf(layout: CompressedLayout, ...pieces: number[][]): Map<number, Buffer> {
  const tables = new Map<number, Buffer>();
  const take = (placed: Iterable<{ at: number; cluster: Buffer }>) => {
    for (const { at, cluster } of placed) {
      expect(tables.has(at / CLUSTER), `table ${at / CLUSTER} comes once`).toBe(false);
      tables.set(at / CLUSTER, cluster);
    }
  };
  for (const lengths of pieces) {
    layout.add(Uint32Array.from(lengths));
    take(layout.takeFullTables());
  }
  take(layout.takeLastTables());
  return tables;
}

const refcount = (tables: Map<number, Buffer>, block: number, n: number) =>
  tables.get(block)?.readUInt16BE(n * 2);
const entry = (tables: Map<number, Buffer>, table: number, n: number) =>
  tables.get(table)?.readBigUInt64BE(n * 8);

describe('a piece', () => {
  it('of compressed clusters only begins at the end of the one before it', () => {
    const place = placePiece(CLUSTER + 100, Uint32Array.of(10, 0, 70, 20));
    expect(place).toEqual({
      ...{ packedAt: CLUSTER + 100, packedClusters: 3, restAt: CLUSTER + 200 },
      ...{ storedAt: 2 * CLUSTER, end: CLUSTER + 200 },
    });
  });

  it('has its stored clusters at a cluster border, first if it begins at one', () => {
    const place = placePiece(3 * CLUSTER, Uint32Array.of(5, CLUSTER, 6, CLUSTER));
    expect(place).toMatchObject({ packedClusters: 0, storedAt: 3 * CLUSTER, restAt: 5 * CLUSTER });
    expect(place.end).toBe(5 * CLUSTER + 11);
  });

  it('places its stored clusters so that the lost rest of a cluster is smallest', () => {
    const lengths = Uint32Array.of(30_000, CLUSTER, 35_000, 60_000, 4_000);
    const place = placePiece(CLUSTER + 200, lengths);
    expect(place).toMatchObject({ packedClusters: 2, storedAt: 2 * CLUSTER });
    expect(place).toMatchObject({ restAt: 3 * CLUSTER, end: 3 * CLUSTER + 64_000 });
  });
});

describe('the tables', () => {
  it('have the offset and the sectors of each cluster, and how many share a cluster of the file', () => {
    const layout = new CompressedLayout(GIB, runsOf([3, 3], [8200, 1]));
    // Header, refcount table, one refcount block, L1, two L2.
    expect(layout.dataAt).toBe(6 * CLUSTER);
    const tables = tablesOf(layout, [60_000, CLUSTER, 0, 700]);
    // The stored one is first, then what was compressed, into the cluster after.
    const [stored, packed] = [6 * CLUSTER, 7 * CLUSTER];
    expect(entry(tables, 4, 3)).toBe((1n << 62n) | (117n << 54n) | BigInt(packed));
    expect(entry(tables, 4, 4)).toBe((1n << 63n) | BigInt(stored));
    expect(entry(tables, 4, 5)).toBe(0n);
    // 96 bytes of its first sector are before it: 416, then 284 more.
    expect(entry(tables, 5, 8)).toBe((1n << 62n) | (1n << 54n) | BigInt(packed + 60_000));
    expect([5, 6, 7, 8].map((n) => refcount(tables, 2, n))).toEqual([1, 1, 2, 0]);
    expect(layout.size).toBe(8 * CLUSTER);
    const header = tables.get(0);
    expect(header?.readUInt32BE(76), 'a compression type').toBe(8);
    expect([header?.readUInt32BE(100), header?.[104]]).toEqual([112, 1]);
  });

  it('count a cluster of the file twice if one compressed cluster ends and the next begins in it', () => {
    const layout = new CompressedLayout(GIB, runsOf([0, 3]));
    const tables = tablesOf(layout, [60_000, 60_000, 5_536]);
    const first = layout.dataAt / CLUSTER;
    expect([0, 1, 2].map((n) => refcount(tables, 2, first + n))).toEqual([2, 2, 0]);
    expect(layout.size).toBe(layout.dataAt + 2 * CLUSTER);
  });

  it('are returned as soon as they are complete, so that few are in memory', () => {
    const clusters = 8192 * 5;
    const layout = new CompressedLayout(5 * GIB, runsOf([0, clusters]));
    const first = layout.dataAt / CLUSTER;
    const full: number[] = [];
    for (let n = 0; n < clusters; n += 32) {
      layout.add(new Uint32Array(32).fill(CLUSTER));
      for (const { at } of layout.takeFullTables()) full.push(at / CLUSTER);
    }
    // Two refcount blocks, ten regions of 512 MiB: the last one of each is still open.
    const last = [...layout.takeLastTables()].map(({ at }) => at / CLUSTER);
    expect(new Set([...full, ...last]).size).toBe(first);
    expect(full.length).toBeGreaterThanOrEqual(5);
    expect(last.at(-1)).toBe(0);
  });
});
