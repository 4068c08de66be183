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
