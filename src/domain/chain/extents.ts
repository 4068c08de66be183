// Where the data of a still chain lies: each run of bytes, its layer, and its place in that layer's file.

/** Runs of data in the order of the guest's bytes; what is in none of them reads as zeros. */
export interface DataExtents {
  readonly count: number;
  /** Of the guest's bytes. */
  readonly start: Float64Array;
  readonly length: Float64Array;
  /** 0: the first layer. */
  readonly depth: Uint8Array;
  /** In the file of that layer. */
  readonly at: Float64Array;
}

/** A disk: its bytes, and where its data lie. */
export interface DiskData {
  virtualSize: number;
  extents: DataExtents;
}

/** Those of the layers that `isWanted` takes by their depth. */
export function extentsOf(extents: DataExtents, isWanted: (depth: number) => boolean): DataExtents {
  const wanted: number[] = [];
  for (let n = 0; n < extents.count; n += 1) if (isWanted(extents.depth[n] ?? 0)) wanted.push(n);
  const picked = (from: ArrayLike<number>) => Float64Array.from(wanted, (n) => from[n] ?? 0);
  return {
    count: wanted.length,
    start: picked(extents.start),
    length: picked(extents.length),
    depth: Uint8Array.from(wanted, (n) => extents.depth[n] ?? 0),
    at: picked(extents.at),
  };
}
