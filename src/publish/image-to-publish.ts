// The types of an image that is being published: its disks, artefacts and options.
import type { Config } from '../config/config.ts';
import type { OnEvent } from '../core/events.ts';
import type { DiskFormat } from '../core/model.ts';
import type { PlannedImage } from '../image/plan/plan-image.ts';
import type { ImageLayers } from '../image/plan/reopen-image.ts';
import type { ImageDisk } from '../registry/record/image.ts';
import type { Digests } from '../transfer/digests/digests.ts';

export interface UploadedDisk {
  name: string;
  size: number;
  digests: Digests;
}

/** Facts that are known from writing the image of a disk. */
export interface WrittenDisk {
  /** In hex, by algorithm. */
  digests: Readonly<Record<string, string>> | undefined;
  /** The plan of an image that is made during the upload; undefined if it was written to a file. */
  streamed: PlannedImage | undefined;
}

/** The flat image of one disk, and its fields of the record. */
export interface DiskToPublish extends Omit<ImageDisk, 'sha256' | 'etag' | 'disk_format' | 'size'> {
  /** The image file, or the captured file if the image is made during the upload. */
  path: string;
  /** The run's own file, which is removed after the upload. Left out by earlier versions. */
  isScratch?: boolean;
  /**
   * Bytes of the image file.
   * NOTE: left out if there is no image file: a version that does not know `layers` would publish the
   * file at `path` if it has this size.
   */
  size?: number;
  /** The image file was written past the page cache. */
  direct?: boolean;
  /** The layers that the image is made from during the upload, if it has no file. */
  layers?: ImageLayers;
}

export interface FinishOptions {
  onEvent: OnEvent;
  signal: AbortSignal;
  /** Writes a point to the run's journal. */
  checkpoint: (name: string, data?: unknown) => Promise<void>;
  timeouts: Pick<Config['timeouts'], 'convertMs' | 'requestMs'>;
  /** True if an earlier process of the run started to publish the image. */
  resume?: boolean;
  /** Facts from writing the images, by the name of the object. */
  written?: ReadonlyMap<string, WrittenDisk>;
  /** The disks that the earlier process uploaded. */
  uploaded?: readonly UploadedDisk[];
}

/** Everything that is needed to publish the image. The journal has it, so it contains no secret. */
export interface ImageToPublish {
  id: string;
  /** The root disk first. */
  disks: readonly DiskToPublish[];
  disk_format: DiskFormat;
  /** Digests of the root disk in addition to sha256. */
  hash: readonly string[];
  min_ram: number;
  properties: Record<string, string>;
  /** The scrubbed domain XML. */
  domainXml: string;
  /** The copy of the guest's UEFI variables; left out if they are not published. */
  nvram?: string;
  aliases: readonly string[];
  /** See SnapshotOptions.keep; null if no older image is deleted. */
  keep: number | null;
}
