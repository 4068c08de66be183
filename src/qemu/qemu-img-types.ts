// The types of qemu-img's requests and answers. Sizes in bytes.
import type { Compression, TargetFormat } from '../core/model.ts';

/** One layer on disk: a file or a block device, and the format it is opened with. */
export interface ImageFile {
  path: string;
  /** QEMU's name of the format, which is never probed. */
  format: string;
}

/** A layer that is opened for reading only. */
export interface SourceImage extends ImageFile {
  /**
   * The node of QEMU's block layer that has the data, if they are in no file of this host. `path` is
   * then for messages only.
   */
  node?: Readonly<Record<string, unknown>>;
  /** A running QEMU has the file open for writing (`--force-share`). */
  shared?: boolean;
  /**
   * The layers below, nearest first. If given, only these are opened (`[]`: none), and the headers are
   * ignored; if left out, QEMU follows the headers.
   */
  backingChain?: readonly ImageFile[];
  /** The internal snapshot to read instead of the current state; for `convert` and `measure` only. */
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

/** `qemu-img info` of one layer. A field that the format does not have is null or false. */
export interface QemuImgInfo {
  format: string;
  virtualSize: number;
  /** Bytes the file takes on its file system; holes are not counted. */
  actualSize: number;
  clusterSize: number | null;
  /** The text of the header, so it may be relative. */
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
  /** For qcow2: `zlib` or `zstd`; set also if no cluster is compressed. */
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
  /** Bytes of the source's disk: the total of the progress. */
  virtualSize: number;
  /** `bytes` never falls, and is `total` at the end. */
  onProgress?: (bytes: number, total: number) => void;
}

export interface Converted {
  /** The target was written past the page cache, and is not in it. */
  direct: boolean;
}

/** `not applicable`: the format has nothing to check, such as raw. */
export interface CheckResult {
  state: 'clean' | 'leaks' | 'corrupt' | 'not applicable';
  leaks: number;
  corruptions: number;
}

export interface CompareResult {
  identical: boolean;
  /** qemu-img's own message, with the offset of the first difference. */
  detail: string;
}

/** A run of bytes in one state; `depth` 0 is the image itself, 1 its backing file. */
export interface MapExtent {
  start: number;
  length: number;
  depth: number;
  /** False if no layer has it; it then reads as zeros. */
  present: boolean;
  zero: boolean;
  data: boolean;
  compressed: boolean;
  /** Offset in the file of that depth; null if the bytes are not stored there. */
  offset: number | null;
}

/** Bytes of a converted image: with this source's data, and with every cluster written. */
export interface MeasureResult {
  required: number;
  fullyAllocated: number;
}
