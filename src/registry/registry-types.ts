// Arguments and results of a registry's methods.
import type { OnEvent } from '../core/events.ts';
import type { CallOptions } from '../store/object-info.ts';
import type { S3Options } from '../store/s3/aws-settings.ts';
import type { Digests } from '../transfer/digests/digests.ts';
import type { UploadPolicy } from '../transfer/upload/upload-types.ts';
import type { ImageObject, ImageRecord } from './record/image.ts';
import type { OnUnreadable } from './record/unreadable.ts';

export interface RegistryOptions {
  s3?: S3Options;
  /** Deadline of one request, and of silence while an object is read. */
  requestTimeoutMs?: number;
  upload?: Partial<UploadPolicy>;
  /** The directory that keeps what the store's probes found; nothing is kept if left out. */
  cacheDir?: string;
  /** Mode of a new directory; by default 0750 as the umask permits. */
  mode?: number;
  /** The default registry: it is created with its parent directories, and counts as empty before. */
  isDefault?: boolean;
  /**
   * Receives a note when a new registry is created, and warnings: before the first write to an unsafe
   * registry, and for records and aliases that cannot be read and are skipped.
   */
  onEvent?: OnEvent;
}

/** The fields of a new image; the other fields have Glance's defaults. */
export type NewImage = Pick<ImageRecord, 'name' | 'disk_format'> &
  Partial<
    Pick<
      ImageRecord,
      | 'id'
      | 'visibility'
      | 'protected'
      | 'os_hidden'
      | 'tags'
      | 'owner'
      | 'virtual_size'
      | 'min_disk'
      | 'min_ram'
      | 'properties'
    >
  >;

/**
 * The fields that are known when the data is stored. `size` is the data's; null for an image whose data are
 * volume snapshots, which its properties name.
 */
export type ActiveFields = { data: ImageObject | null } & Partial<
  Pick<
    ImageRecord,
    | 'artefacts'
    | 'disks'
    | 'virtual_size'
    | 'min_disk'
    | 'min_ram'
    | 'checksum'
    | 'os_hash_algo'
    | 'os_hash_value'
    | 'properties'
  >
>;

export interface UploadDataOptions extends CallOptions {
  /** Digests beside sha256. */
  hash?: readonly string[];
  onProgress?: ((bytes: number) => void) | undefined;
  /** The source's file may be moved into the registry, if that is possible; it has no name of its own then. */
  moveFrom?: string | undefined;
  /** Goes on with what an earlier process left of this upload. */
  resume?: boolean | undefined;
  /** In hex, by algorithm, if they are known: the source is not read for them. */
  digests?: Readonly<Record<string, string>> | undefined;
}

export interface UploadedObject extends Pick<ImageObject, 'name' | 'size'> {
  digests: Digests;
  etag: string | null;
  /** True if the file was moved into the registry without a copy. */
  moved: boolean;
}

export interface ListImagesOptions extends CallOptions {
  /**
   * Called for each image whose record cannot be read, in addition to the warning for `onEvent`. The
   * image is skipped.
   */
  onUnreadable?: OnUnreadable;
  /** Killed and deleted images too, as far as their records are there. */
  all?: boolean;
}

export interface DeleteOptions extends CallOptions {
  /**
   * Also if an alias points to the image, an alias cannot be read and may, the image's own record
   * cannot be read, or no version of it can follow.
   */
  force?: boolean;
  onUnreadable?: OnUnreadable | undefined;
}
