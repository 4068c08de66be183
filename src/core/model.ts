// The types that every room shares: formats, modes and policies as people name them.
import type { ErrorCode } from './error-catalogue.ts';

export const SNAPSHOT_MODES = ['auto', 'live', 'cold'] as const;
/** What the caller asks for. `auto`: live where it can be, else cold, and it says why. */
export type SnapshotMode = (typeof SNAPSHOT_MODES)[number];

/**
 * How the disk is made to hold still. `offline`: the domain was off and is simply read. `existing`:
 * a snapshot that somebody made before is read, and the domain is left alone.
 */
export type CaptureMode = 'live' | 'cold' | 'offline' | 'existing';

export const MIRROR_METHODS = ['auto', 'rebase', 'copy'] as const;
/**
 * `rebase`: undefine, then virDomainBlockRebase. `copy`: virDomainBlockCopy with TRANSIENT_JOB,
 * with no undefine. `auto` is `rebase`, unless an undefine would lose what cannot be put back.
 */
export type MirrorMethod = (typeof MIRROR_METHODS)[number];

export const QUIESCE_POLICIES = ['off', 'try', 'require'] as const;
export type QuiescePolicy = (typeof QUIESCE_POLICIES)[number];

/** What the image may be relied on for: file systems at rest, as after a power cut, or switched off. */
export type Consistency = 'filesystem' | 'crash' | 'offline';

export const TARGET_FORMATS = ['qcow2', 'raw', 'vmdk', 'vdi', 'vhdx'] as const;
/** Formats that an image can be written in. */
export type TargetFormat = (typeof TARGET_FORMATS)[number];

export const DISK_FORMATS = [...TARGET_FORMATS, 'iso'] as const;
/** Formats that an image of a registry can have: an ISO only comes in from outside. */
export type DiskFormat = (typeof DISK_FORMATS)[number];

export const COMPRESSIONS = ['none', 'zstd', 'zlib'] as const;
export type Compression = (typeof COMPRESSIONS)[number];

export const VISIBILITIES = ['private', 'shared', 'community', 'public'] as const;
export type Visibility = (typeof VISIBILITIES)[number];

/** One file or block device of a chain. Sizes in bytes. */
export interface ChainLayer {
  path: string;
  format: string;
  virtualSize: number;
  /** What it takes on the host. */
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
