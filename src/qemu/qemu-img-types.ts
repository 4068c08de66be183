// What goes into and comes out of qemu-img, as types. Sizes in bytes.
import type { Compression, TargetFormat } from '../core/model.ts';

/** One layer on disk: a file or a block device, and the format it is opened with. */
export interface ImageFile {
  path: string;
  /** QEMU's name of the format; it is always given and never probed. */
  format: string;
}

/** A layer that is opened for reading only. */
export interface SourceImage extends ImageFile {
  /**
   * Where the data are in no file of this host: the node of QEMU's block layer that has them. `path`
   * is for people then.
   */
  node?: Readonly<Record<string, unknown>>;
  /** True where a running QEMU holds the file open for writing (`--force-share`). */
  shared?: boolean;
  /**
   * The layers below, nearest first. Where it is given, these and no others are opened, whatever
   * the headers say (`[]`: none at all); where it is left out, QEMU follows the headers.
   */
  backingChain?: readonly ImageFile[];
  /** Read as this internal snapshot has it, and not as it is now. `convert` and `measure` alone. */
  snapshot?: SnapshotRef;
}

/** An internal snapshot: names need not be unique in a file. */
export type SnapshotRef = Pick<InternalSnapshot, 'id' | 'name'>;

/** Each call ends by its deadline at the latest. An abort kills the child process. */
export interface CallLimits {
  signal?: AbortSignal;
  timeoutMs?: number;
  /** The most that an untrusted image may cost; needs the program prlimit. */
  confined?: { addressSpaceBytes: number; cpuS: number };
}

export interface InternalSnapshot {
  id: string;
  name: string;
  vmStateSize: number;
  /** ISO 8601, UTC. */
  date: string;
}

/** `qemu-img info` of one layer. Null and false where the format knows no such thing. */
export interface QemuImgInfo {
  format: string;
  virtualSize: number;
  /** Bytes the file takes on its file system; holes are not counted. */
  actualSize: number;
  clusterSize: number | null;
  /** As it is written in the header, so it may be relative. */
  backingFile: string | null;
  fullBackingFile: string | null;
  backingFormat: string | null;
  /** qcow2's external data file. */
  dataFile: string | null;
  encrypted: boolean;
  /** Not closed cleanly, or in use by a writer. */
  dirty: boolean;
  corrupt: boolean;
  lazyRefcounts: boolean;
  /** qcow2: `zlib` or `zstd`, which says nothing about whether any cluster is compressed. */
  compressionType: string | null;
  /** qcow2: `0.10` or `1.1`. */
  compat: string | null;
  /** vmdk: `monolithicSparse`, `streamOptimized`... */
  subformat: string | null;
  snapshots: InternalSnapshot[];
}

export interface OverlayRequest extends CallLimits {
  path: string;
  format: 'qcow2';
  virtualSize: number;
  backing: ImageFile | null;
}

export interface ConvertRequest extends CallLimits {
  source: SourceImage;
  target: { path: string; format: TargetFormat };
  compress: Compression;
  /** Of the source: the total that progress is told against. */
  virtualSize: number;
  /** `bytes` never falls, and is `total` at the end. */
  onProgress?: (bytes: number, total: number) => void;
}

export interface Converted {
  /** The target was written past the page cache, which does not have it. */
  direct: boolean;
}

/** `not applicable`: the format has nothing to check, as raw. */
export interface CheckResult {
  state: 'clean' | 'leaks' | 'corrupt' | 'not applicable';
  leaks: number;
  corruptions: number;
}

export interface CompareResult {
  identical: boolean;
  /** qemu-img's own words, with the offset of the first difference. */
  detail: string;
}

/** A run of bytes with one fate; `depth` 0 is the image itself, 1 its backing file. */
export interface MapExtent {
  start: number;
  length: number;
  depth: number;
  /** False where no layer has it: it reads as zeros. */
  present: boolean;
  zero: boolean;
  data: boolean;
  compressed: boolean;
  /** In the file of that depth; null where there is no such place. */
  offset: number | null;
}

/** Bytes a converted image takes: with this source's data, and if every cluster were written. */
export interface MeasureResult {
  required: number;
  fullyAllocated: number;
}
