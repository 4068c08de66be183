// What goes into a snapshot run and what comes out of it.
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

/** Anything left out comes from the configuration. */
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
  /** Every disk of the domain goes into the image, as at one point in time. */
  allDisks?: boolean;
  format?: TargetFormat;
  compress?: Compression;
  quiesce?: QuiescePolicy;
  /** Name of a snapshot of the domain, internal or external: that is published, and no new state. */
  fromSnapshot?: string;
  /** Cap of the mirror in MiB/s; 0 is none. */
  bandwidthMib?: number;
  /** Cap of what goes to a bucket, in MiB/s; 0 is none. */
  uploadRateMib?: number;
  /** The image's name; the domain's name and the time if left out. */
  name?: string;
  aliases?: readonly string[];
  tags?: readonly string[];
  /** Additional properties; they win over what the domain says. */
  properties?: Readonly<Record<string, string>>;
  visibility?: Visibility;
  protected?: boolean;
  /** Deletes older images of this disk under this name, so that so many are left with the new one. */
  keep?: number;
  /** The file with the guest's UEFI variables goes along, as `nvram.fd` beside the data. */
  withNvram?: boolean;
  /** Seals the image with virt-sysprep before it is published; the guest's disk stays as it is. */
  sysprep?: boolean;
  /** As virt-sysprep has them: `defaults,-ssh-userdir`. */
  sysprepOperations?: string;
  /** Digests beside sha256: `md5` (goes to `checksum`), `sha512` (takes `os_hash_value`). */
  hash?: readonly string[];
  workDir?: string;
  signal?: AbortSignal;
  onEvent?: OnEvent;
}

export interface PlannedDisk {
  target: string;
  bus: string;
  source: string;
  format: string;
  virtualSize: number;
}

/** What a run would do, and why; nothing was touched to learn it. */
export interface SnapshotPlan {
  domain: { name: string; uuid: string; state: string; persistent: boolean; autostart: boolean };
  /** The root disk of the image. */
  disk: PlannedDisk;
  /** Why this disk and none of those before it; null if none was passed over, or disks were named. */
  rootReason: string | null;
  /** The layers below the root disk's source, nearest first. */
  backingChain: readonly { path: string; format: string }[];
  /** All disks of the image, the root disk first. */
  disks: readonly (PlannedDisk & { backingChain: readonly { path: string; format: string }[] })[];
  mode: CaptureMode;
  /** Why this mode and not another one. */
  modeReason: string;
  /** Null where no mirror is needed. */
  method: Exclude<MirrorMethod, 'auto'> | null;
  methodReason: string | null;
  quiesce: QuiescePolicy;
  /** Several disks, and nobody freezes the guest: its vCPUs are paused for the point in time. */
  pauses: boolean;
  /** The file that goes along as `nvram.fd`; null where none was asked for. */
  nvram: string | null;
  /** What of the domain is undefined for the time of the mirror, and kept or put back. */
  undefines: readonly string[];
  /** What is detached before a managed save and attached again after it. */
  detaches: readonly string[];
  image: { name: string; diskFormat: DiskFormat; compress: Compression };
  /** The operations of virt-sysprep on the image; null where it is not sealed. */
  sysprep: string | null;
  registry: string;
  /** Bytes needed at most and bytes free beyond the reserve, for each directory written to. */
  space: readonly { directory: string; purpose: string; needed: number; available: number }[];
  /** What was seen to stand in its way; of a run that was done there are none. */
  obstacles: readonly PlanObstacle[];
}

export interface SnapshotResult extends PublishedImage {
  plan: SnapshotPlan;
}
