// The image record: Glance v2's field names and its status machine. Pure.
import { PublishError } from '../../core/errors.ts';
import type { DiskFormat, Visibility } from '../../core/model.ts';

/** Glance's statuses; only `deleted` is final, and a `killed` image can but be deleted. */
export const IMAGE_STATUSES = [
  'queued',
  'saving',
  'active',
  'deactivated',
  'killed',
  'deleted',
] as const;
/** Status of an image, as in Glance. */
export type ImageStatus = (typeof IMAGE_STATUSES)[number];

/**
 * The allowed transitions, after glance/domain/__init__.py. Beside it: `queued` may be `killed`, since
 * here a run that fails before its upload records the reason; in Glance such an image stays queued.
 */
export const STATUS_TRANSITIONS: Readonly<Record<ImageStatus, readonly ImageStatus[]>> = {
  queued: ['saving', 'killed', 'deleted'],
  saving: ['active', 'killed', 'deleted'],
  active: ['deactivated', 'deleted'],
  deactivated: ['active', 'deleted'],
  killed: ['deleted'],
  deleted: [],
};

/** @throws IMAGE_STATUS that names the transition, if it is not allowed. */
export function assertTransition(id: string, from: ImageStatus, to: ImageStatus): void {
  const allowed = STATUS_TRANSITIONS[from];
  if (allowed.includes(to)) return;
  const next = allowed.length === 0 ? 'nothing' : allowed.join(' or ');
  const message = `image ${id} is ${from} and cannot become ${to}; only ${next} can follow`;
  throw new PublishError('IMAGE_STATUS', message, { step: 'registry' });
}

/** One object of the image: the disk's data, or an artefact beside it. Sizes in bytes. */
export interface ImageObject {
  /** Name below the image's prefix, as `vda.qcow2` or `domain.xml`. */
  name: string;
  size: number;
  sha256: string;
  /** The store's ETag when the image was activated; missing if the store has none. */
  etag?: string;
}

/** One disk of an image with several disks, and its object. */
export interface ImageDisk extends ImageObject {
  /** The target in the domain, such as `vda`; unique in the image. */
  target: string;
  /** Like Nova's: 0 for the root disk, null for one that the guest does not boot from. */
  boot_index: number | null;
  /** For example `virtio`. */
  bus: string;
  disk_format: DiskFormat;
  /** Bytes the guest sees. */
  virtual_size: number;
}

/** Version `version` of one image's record, as it is stored. Times are ISO 8601 in UTC. */
export interface ImageRecord {
  id: string;
  version: number;
  name: string;
  status: ImageStatus;
  visibility: Visibility;
  protected: boolean;
  os_hidden: boolean;
  tags: string[];
  owner: string | null;
  disk_format: DiskFormat;
  container_format: 'bare';
  /** Bytes of the data object. Null until the image is active, like all fields up to `os_hash_value`. */
  size: number | null;
  /** Bytes the guest sees. */
  virtual_size: number | null;
  /** GiB, rounded up from the virtual size. */
  min_disk: number;
  /** MiB. */
  min_ram: number;
  /** md5 in hex, if it was requested. */
  checksum: string | null;
  os_hash_algo: string | null;
  os_hash_value: string | null;
  created_at: string;
  updated_at: string;
  /** The data of the disk, or of the root disk of several; null until the image is active. */
  data: ImageObject | null;
  /** All disks of an image of several, the root disk first, which is `data` too; else left out. */
  disks?: ImageDisk[];
  artefacts: ImageObject[];
  /** Why an image is `killed`, or was deactivated; null otherwise. */
  status_reason: string | null;
  properties: Record<string, string>;
}
