// The types that every room shares: formats, modes and policies as people name them.
import type { ErrorCode } from './error-catalogue.ts';

export const SNAPSHOT_MODES = ['auto', 'live', 'cold'] as const;
/** The requested mode. `auto` is live if that is possible, else cold; the plan gives the reason. */
export type SnapshotMode = (typeof SNAPSHOT_MODES)[number];

/**
 * How the disk is captured. `live`: a mirror while the guest runs. `cold`: a managed save first.
 * `offline`: the domain was off. `existing`: a snapshot that the domain has already is read.
 */
export type CaptureMode = 'live' | 'cold' | 'offline' | 'existing';

export const MIRROR_METHODS = ['auto', 'rebase', 'copy'] as const;
/**
 * `rebase`: undefine, then virDomainBlockRebase. `copy`: virDomainBlockCopy with TRANSIENT_JOB,
 * with no undefine. `auto` is `rebase`, unless an undefine would lose what cannot be restored.
 */
export type MirrorMethod = (typeof MIRROR_METHODS)[number];

export const QUIESCE_POLICIES = ['off', 'try', 'require'] as const;
/** Freezing the guest's file systems: `require` fails without it, `try` continues with a warning. */
export type QuiescePolicy = (typeof QUIESCE_POLICIES)[number];

/** State of the file systems in the image: frozen, as after a power cut, or of a domain that was off. */
export type Consistency = 'filesystem' | 'crash' | 'offline';

export const TARGET_FORMATS = ['qcow2', 'raw', 'vmdk', 'vdi', 'vhdx'] as const;
/** Formats that an image can be written in. */
export type TargetFormat = (typeof TARGET_FORMATS)[number];

export const DISK_FORMATS = [...TARGET_FORMATS, 'iso'] as const;
/** Formats of the images of a registry; ISO images are only imported. */
export type DiskFormat = (typeof DISK_FORMATS)[number];

export const COMPRESSIONS = ['none', 'zstd', 'zlib'] as const;
/** Compression of an image: qcow2 has zstd and zlib, vmdk zlib. */
export type Compression = (typeof COMPRESSIONS)[number];

export const VISIBILITIES = ['private', 'shared', 'community', 'public'] as const;
/** Glance's visibility of an image. */
export type Visibility = (typeof VISIBILITIES)[number];

/** One file or block device of a chain. Sizes in bytes. */
export interface ChainLayer {
  path: string;
  format: string;
  virtualSize: number;
  /** Bytes that it takes on the host. */
  actualSize: number;
  /** Names of the internal snapshots in it. */
  snapshots: readonly string[];
}

/** An error that a planned run would end with. */
export interface PlanObstacle {
  code: ErrorCode;
  message: string;
  /** What to do about it, in one line. */
  hint: string;
}
