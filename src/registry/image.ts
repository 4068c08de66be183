// The image record: Glance v2's field names, its status machine, its validation. Pure.
import type { DiskFormat, Visibility } from '../snapshot-types.ts';

/** Glance's statuses; `killed` and `deleted` are final. */
export type ImageStatus = 'queued' | 'saving' | 'active' | 'deactivated' | 'killed' | 'deleted';

/** One object of the image: the disk's data, or an artefact beside it. Sizes in bytes. */
export interface ImageObject {
  /** Name below the image's prefix, as `vda.qcow2` or `domain.xml`. */
  name: string;
  size: number;
  sha256: string;
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
  /** Bytes of the data object; null until the image is active. */
  size: number | null;
  /** Bytes the guest sees. */
  virtual_size: number | null;
  /** GiB, rounded up from the virtual size. */
  min_disk: number;
  /** MiB. */
  min_ram: number;
  /** md5 in hex, where it was asked for. */
  checksum: string | null;
  os_hash_algo: string | null;
  os_hash_value: string | null;
  created_at: string;
  updated_at: string;
  /** The disk's data; null until the image is active. */
  data: ImageObject | null;
  artefacts: ImageObject[];
  /** Why an image is `killed`; null otherwise. */
  status_reason: string | null;
  properties: Record<string, string>;
}
