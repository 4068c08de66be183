// The clusters of a guest's disk that have data, as runs, and each run's place in the image's data. Pure.
import type { DataExtents } from '../../domain/chain/extents.ts';

/** Bytes; also the default of `qemu-img create`. */
export const CLUSTER = 64 * 1024;

/** A run of a layer's bytes, and its place in a piece of the image's data. */
export interface Segment {
  depth: number;
  /** Offset in the layer's file. */
  at: number;
  length: number;
  /** Offset in the piece. */
  to: number;
}

/** Runs of clusters that have data, each with its first cluster on the disk and in the file's data. */
export class DataRuns {
  readonly clusters: number;
  readonly #extents: DataExtents;
  readonly #guest: Float64Array;
  readonly #index: Float64Array;

  constructor(extents: DataExtents) {
    const { count, start, length } = extents;
    const guest: number[] = [];
    const index: number[] = [];
    let total = 0;
    let end = 0;
    for (let n = 0; n < count; n += 1) {
      const first = Math.floor((start[n] ?? 0) / CLUSTER);
      const last = Math.ceil(((start[n] ?? 0) + (length[n] ?? 0)) / CLUSTER);
      if (n === 0 || first > end) {
        guest.push(first);
        index.push(total);
        end = first;
      }
      // Two extents may share a cluster.
      total += Math.max(0, last - end);
      end = Math.max(end, last);
    }
    this.clusters = total;
    this.#extents = extents;
    this.#guest = Float64Array.from(guest);
    this.#index = Float64Array.from(index);
  }

  /** Yields the layers' bytes that make the bytes `start` to `end` (multiples of 64 KiB) of the data. */
  *segments(start: number, end: number): Generator<Segment> {
    for (const { guest, length, to } of this.slices(start / CLUSTER, end / CLUSTER)) {
      for (const segment of this.#inGuest(guest, guest + length)) {
        yield { ...segment, to: to + segment.to };
      }
    }
  }

  /** Yields the pieces of runs in the data's clusters `start` to `end`, in bytes. */
  *slices(start: number, end: number): Generator<{ guest: number; length: number; to: number }> {
    for (let at = start; at < end; ) {
      const run = lastAtOrBefore(this.#index, this.#index.length, at);
      const until = Math.min(end, this.#endOf(run));
      const guest = (this.#guest[run] ?? 0) + at - (this.#index[run] ?? 0);
      yield {
        guest: guest * CLUSTER,
        length: (until - at) * CLUSTER,
        to: (at - start) * CLUSTER,
      };
      at = until;
    }
  }

  /** Yields the numbers on the guest's disk of the data's clusters `start` to `end`. */
  *guestClusters(start: number, end: number): Generator<number> {
    for (const { guest, length } of this.slices(start, end)) {
      for (let at = guest; at < guest + length; at += CLUSTER) yield at / CLUSTER;
    }
  }

  /** Yields the pieces of runs in the guest's clusters `from` to `until`. */
  *within(from: number, until: number): Generator<{ guest: number; count: number; index: number }> {
    let run = Math.max(0, lastAtOrBefore(this.#guest, this.#guest.length, from));
    for (; run < this.#guest.length && (this.#guest[run] ?? 0) < until; run += 1) {
      const begin = this.#guest[run] ?? 0;
      const index = this.#index[run] ?? 0;
      const end = begin + this.#endOf(run) - index;
      const guest = Math.max(begin, from);
      const count = Math.min(end, until) - guest;
      if (count > 0) yield { guest, count, index: index + guest - begin };
    }
  }

  /** Returns the numbers of the regions of `size` clusters that have data. */
  regions(size: number): number[] {
    const found: number[] = [];
    for (let run = 0; run < this.#guest.length; run += 1) {
      const begin = this.#guest[run] ?? 0;
      const last = begin + this.#endOf(run) - (this.#index[run] ?? 0) - 1;
      let region = Math.floor(begin / size);
      if (region === found.at(-1)) region += 1;
      for (; region <= Math.floor(last / size); region += 1) found.push(region);
    }
    return found;
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

  #endOf(run: number): number {
    return this.#index[run + 1] ?? this.clusters;
  }
}

/** Returns the index of the last of `count` rising values that is at most `value`, or -1. */
function lastAtOrBefore(values: Float64Array, count: number, value: number): number {
  let low = 0;
  let high = count;
  while (low < high) {
    const middle = (low + high) >>> 1;
    if ((values[middle] ?? 0) <= value) low = middle + 1;
    else high = middle;
  }
  return low - 1;
}
