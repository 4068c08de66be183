// An image on its way into the registry: its disks, what goes along, and how it is published.
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

/** What the writing of an image file gave beside it. */
export interface WrittenDisk {
  /** In hex, by algorithm. */
  digests: Readonly<Record<string, string>> | undefined;
  /** What the image is made of while it is sent; undefined if it was written to a file. */
  streamed: PlannedImage | undefined;
}

/** The flat image of one disk, and what the record says of it. */
export interface DiskToPublish extends Omit<ImageDisk, 'sha256' | 'etag' | 'disk_format' | 'size'> {
  /** The image file; of an image without one, the captured file. */
  path: string;
  /** It goes when the image is in the registry. Left out by earlier versions. */
  isScratch?: boolean;
  /**
   * Bytes of the image file.
   * NOTE: left out where there is none: a version that knows of no layers takes the file at `path`
   * for the image where its size is this, and must not.
   */
  size?: number;
  /** It was written past the page cache. */
  direct?: boolean;
  /** There is no file of the image: it is made of these while it is sent. */
  layers?: ImageLayers;
}

export interface FinishOptions {
  onEvent: OnEvent;
  signal: AbortSignal;
  /** Writes a point to the run's journal. */
  checkpoint: (name: string, data?: unknown) => Promise<void>;
  timeouts: Pick<Config['timeouts'], 'convertMs' | 'requestMs'>;
  /** An earlier process was at this before. */
  resume?: boolean;
  /** What is known from the writing of the files, by the names of their objects. */
  written?: ReadonlyMap<string, WrittenDisk>;
  /** What that one had uploaded already. */
  uploaded?: readonly UploadedDisk[];
}

/** All that is needed to publish images as one. It stands in the journal, and holds no secret. */
export interface ImageToPublish {
  id: string;
  /** The root disk first. */
  disks: readonly DiskToPublish[];
  disk_format: DiskFormat;
  /** Digests of the root disk beside sha256. */
  hash: readonly string[];
  min_ram: number;
  properties: Record<string, string>;
  /** Scrubbed. */
  domainXml: string;
  /** The copy of the guest's UEFI variables; left out where they stay at home. */
  nvram?: string;
  aliases: readonly string[];
  /** As SnapshotOptions.keep; null where no older image goes. */
  keep: number | null;
}
