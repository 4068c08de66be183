// The options and results of an import.
import type { OnEvent } from '../../core/events.ts';
import type { DiskFormat, TargetFormat, Visibility } from '../../core/model.ts';
import type { MovedAlias } from '../../registry/aliases/point-aliases.ts';
import type { ImageRecord } from '../../registry/record/image.ts';

/** What is imported, and its format. Missing options come from the configuration. */
export interface ImportOptions {
  /** A file, an http or https URL, or `-`: standard input. */
  source: string;
  /** Name of the image; that of the file or URL without its endings if left out. */
  name?: string;
  registry?: string;
  /** Expected format of the image, once unpacked; an image of another one is refused. */
  format?: DiskFormat;
  /**
   * Hex digest of the bytes as they are in the file or at the URL, before they are unpacked; other
   * bytes are refused.
   */
  sha256?: string;
  /** Format to convert to; the image stays as it is if left out. */
  convert?: TargetFormat;
  aliases?: readonly string[];
  tags?: readonly string[];
  properties?: Readonly<Record<string, string>>;
  visibility?: Visibility;
  protected?: boolean;
  /** GiB; from the virtual size if left out. */
  minDiskGib?: number;
  /** MiB. */
  minRamMib?: number;
  /** Digests beside sha256. */
  hash?: readonly string[];
  /** Bytes of the download, and of what it unpacks to. */
  maxBytes?: number;
  /** Allows URLs, and redirects, into private networks and to this host. */
  allowPrivate?: boolean;
  workDir?: string;
  signal?: AbortSignal;
  onEvent?: OnEvent;
}

/** An image that was imported. */
export interface ImportResult {
  image: ImageRecord;
  aliases: readonly MovedAlias[];
}
