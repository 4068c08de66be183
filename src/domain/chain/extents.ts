// The data of a still chain: each run of bytes, its layer, and its offset in that layer's file.

/** Runs of data in the order of the guest's offsets; bytes outside all runs read as zeros. */
export interface DataExtents {
  readonly count: number;
  /** Offset in the guest's disk. */
  readonly start: Float64Array;
  readonly length: Float64Array;
  /** Layer of the run; 0 is the active layer. */
  readonly depth: Uint8Array;
  /** Offset in the file of that layer. */
  readonly at: Float64Array;
}

/** The size of a disk and its data. */
export interface DiskData {
  virtualSize: number;
  extents: DataExtents;
}
