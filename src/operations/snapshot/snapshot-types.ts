// The options and results of a snapshot.
import type { OnEvent } from '../../core/events.ts';
import type {
  CaptureMode,
  Compression,
  DiskFormat,
  MirrorMethod,
  PlanObstacle,
  QuiescePolicy,
  SnapshotMode,
  TargetFormat,
  Visibility,
} from '../../core/model.ts';
import type { PublishedImage } from '../../publish/finish.ts';

/** What is taken, and how. Missing options come from the configuration. */
export interface SnapshotOptions {
  /** Name, UUID or id of the domain. */
  domain: string;
  /** libvirt URI; else `LIBVIRT_DEFAULT_URI`, else the configuration. */
  connect?: string;
  /** `s3://bucket/prefix` or a directory. */
  registry?: string;
  mode?: SnapshotMode;
  method?: MirrorMethod;
  /** Targets (`vda`) of the disks that make the image; the root disk if left out. */
  disk?: string | readonly string[];
  /** Takes every disk of the domain, at one point in time. */
  allDisks?: boolean;
  format?: TargetFormat;
  compress?: Compression;
  quiesce?: QuiescePolicy;
  /** Publishes this snapshot of the domain, internal or external, instead of its present state. */
  fromSnapshot?: string;
  /** Cap of the mirror in MiB/s; 0 is none. */
  bandwidthMib?: number;
  /** Cap of what goes to a bucket, in MiB/s; 0 is none. */
  uploadRateMib?: number;
  /** The image's name; the domain's name and the time if left out. */
  name?: string;
  aliases?: readonly string[];
  tags?: readonly string[];
  /** Additional properties; they win over those derived from the domain. */
  properties?: Readonly<Record<string, string>>;
  visibility?: Visibility;
  protected?: boolean;
  /** Deletes older images of the same disks and name, so that this many remain. */
  keep?: number;
  /** Publishes the guest's UEFI variables as the artefact `nvram.fd`. */
  withNvram?: boolean;
  /** Seals the image with virt-sysprep before it is published; the guest's disk stays as it is. */
  sysprep?: boolean;
  /** Operations of virt-sysprep, such as `defaults,-ssh-userdir`. */
  sysprepOperations?: string;
  /** Digests beside sha256: `md5` (goes to `checksum`), `sha512` (takes `os_hash_value`). */
  hash?: readonly string[];
  workDir?: string;
  signal?: AbortSignal;
  onEvent?: OnEvent;
}

/** A disk that a snapshot would take. Sizes in bytes. */
export interface PlannedDisk {
  target: string;
  bus: string;
  source: string;
  format: string;
  virtualSize: number;
}

/** What a run would do, and why. */
export interface SnapshotPlan {
  domain: { name: string; uuid: string; state: string; persistent: boolean; autostart: boolean };
  /** The root disk of the image. */
  disk: PlannedDisk;
  /** Why disks before the root disk were passed over; null if none was, or disks were named. */
  rootReason: string | null;
  /** The layers below the root disk's source, nearest first. */
  backingChain: readonly { path: string; format: string }[];
  /** All disks of the image, the root disk first. */
  disks: readonly (PlannedDisk & { backingChain: readonly { path: string; format: string }[] })[];
  mode: CaptureMode;
  /** The reason for the mode. */
  modeReason: string;
  /** Null if no mirror is needed. */
  method: Exclude<MirrorMethod, 'auto'> | null;
  methodReason: string | null;
  quiesce: QuiescePolicy;
  /** Whether the vCPUs are paused at the point in time: several disks, and the guest is not frozen. */
  pauses: boolean;
  /** The file that is published as `nvram.fd`; null if none was asked for. */
  nvram: string | null;
  /** What an undefine removes for the time of the mirror, and the redefine restores. */
  undefines: readonly string[];
  /** What is detached before a managed save and attached again after it. */
  detaches: readonly string[];
  image: { name: string; diskFormat: DiskFormat; compress: Compression };
  /** The operations of virt-sysprep on the image; null if it is not sealed. */
  sysprep: string | null;
  registry: string;
  /** Bytes needed at most and bytes free beyond the reserve, for each directory written to. */
  space: readonly { directory: string; purpose: string; needed: number; available: number }[];
  /** Errors that the run would fail with; empty in the result of a run. */
  obstacles: readonly PlanObstacle[];
}

/** A published snapshot. */
export interface SnapshotResult extends PublishedImage {
  plan: SnapshotPlan;
}
