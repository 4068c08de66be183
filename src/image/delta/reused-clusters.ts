// What of a top layer stays where it lies when its own file becomes the flat image. Pure.
import { type DataExtents, type DiskData, extentsOf } from '../../domain/chain/extents.ts';
import { CLUSTER, DataRuns, lastAtOrBefore } from '../plan/data-runs.ts';

/** A run of the guest's clusters, and the cluster of the file that it begins at. */
export interface KeptRun {
  guest: number;
  count: number;
  cluster: number;
}

/** From the first to before the second, in clusters of the file. */
export interface ClusterRange {
  from: number;
  until: number;
}

/** Clusters that nobody uses become zeros of the image; with more of them a new file is worth more. */
const MAX_UNUSED_RATIO = 1 / 16;
/** More take too long to sort. */
const MAX_RUNS = 100_000;

/** The clusters of a file that hold the guest's data already, and stay. */
export class ReusedClusters {
  /** Clusters of the file as it was: the header, those that stay, and others. */
  readonly end: number;
  readonly #runs: DataRuns;
  /** In the file's order, none touching the next. */
  readonly #ranges: { from: Float64Array; until: Float64Array };

  private constructor(top: DataExtents, end: number, ranges: readonly ClusterRange[]) {
    this.end = end;
    this.#runs = new DataRuns(top);
    this.#ranges = {
      from: Float64Array.from(ranges, ({ from }) => from),
      until: Float64Array.from(ranges, ({ until }) => until),
    };
  }

  /** Of an image that is a file of its own. */
  static none(): ReusedClusters {
    return new ReusedClusters(EMPTY, 1, []);
  }

  /**
   * All data of the first layer, whose file has `end` clusters. `undefined` where they do not lie
   * in whole clusters of 64 KiB, each its own, where too much of the file is something else, and
   * where there are too many runs of them.
   */
  static of({ virtualSize, extents }: DiskData, end: number): ReusedClusters | undefined {
    const top = extentsOf(extents, (depth) => depth === 0);
    if (top.count > MAX_RUNS) return undefined;
    const ranges = rangesOf(top, virtualSize);
    if (!ranges || (ranges.at(-1)?.until ?? 0) > end) return undefined;
    const used = ranges.reduce((sum, { from, until }) => sum + until - from, 0);
    if (end - used > end * MAX_UNUSED_RATIO) return undefined;
    return new ReusedClusters(top, end, ranges);
  }

  /** Those in the clusters `from` to `until` of the file, in its order. */
  *inFile(from: number, until: number): Generator<ClusterRange> {
    const { from: starts, until: ends } = this.#ranges;
    let n = Math.max(0, lastAtOrBefore(starts, starts.length, from));
    for (; n < starts.length && (starts[n] ?? 0) < until; n += 1) {
      const range = { from: Math.max(from, starts[n] ?? 0), until: Math.min(until, ends[n] ?? 0) };
      if (range.from < range.until) yield range;
    }
  }

  /** Those in the guest's clusters `from` to `until`, in its order. */
  *inGuest(from: number, until: number): Generator<KeptRun> {
    for (const { guest, count, index } of this.#runs.within(from, until)) {
      const end = (index + count) * CLUSTER;
      for (const { at, length, to } of this.#runs.segments(index * CLUSTER, end)) {
        const run = { guest: guest + to / CLUSTER, cluster: at / CLUSTER };
        yield { ...run, count: Math.ceil(length / CLUSTER) };
      }
    }
  }

  /** Which regions of `size` of the guest's clusters have some of them. */
  regions(size: number): number[] {
    return this.#runs.regions(size);
  }
}

const EMPTY: DataExtents = {
  count: 0,
  start: new Float64Array(),
  length: new Float64Array(),
  depth: new Uint8Array(),
  at: new Float64Array(),
};

/** Where the data lie in the file, in its order; `undefined` where that is not in clusters of their own. */
function rangesOf(
  { count, start, length, at }: DataExtents,
  virtualSize: number,
): ClusterRange[] | undefined {
  const ranges: ClusterRange[] = [];
  for (let n = 0; n < count; n += 1) {
    const [guest = 0, bytes = 0, place = 0] = [start[n], length[n], at[n]];
    const isLast = guest + bytes === virtualSize;
    const isWhole = isLast || bytes % CLUSTER === 0;
    if (!isWhole || guest % CLUSTER !== 0 || place % CLUSTER !== 0) return undefined;
    ranges.push({ from: place / CLUSTER, until: Math.ceil((place + bytes) / CLUSTER) });
  }
  return joined(ranges.sort((a, b) => a.from - b.from));
}

/** Ranges that touch as one; `undefined` where two overlap, or one lies where the header is. */
function joined(ranges: readonly ClusterRange[]): ClusterRange[] | undefined {
  const found: ClusterRange[] = [];
  for (const { from, until } of ranges) {
    const last = found.at(-1);
    if (from < (last?.until ?? 1)) return undefined;
    if (last?.until === from) last.until = until;
    else found.push({ from, until });
  }
  return found;
}
