// What goes into an import and what comes out of it.
import type { OnEvent } from '../../core/events.ts';
import type { DiskFormat, TargetFormat, Visibility } from '../../core/model.ts';
import type { ImageRecord } from '../../registry/record/image.ts';

/** Anything left out comes from the configuration. */
export interface ImportOptions {
  /** A file, an http or https URL, or `-`: standard input. */
  source: string;
  /** Left out, it is that of the file or of the URL, without its endings. */
  name?: string;
  registry?: string;
  /** What the image is said to be, once unpacked; another one is refused. */
  format?: DiskFormat;
  /**
   * Hex digest of the bytes as they are in the file or at the URL, before they are unpacked; other
   * bytes are refused.
   */
  sha256?: string;
  /** What it is to become; it stays as it is where left out. */
  convert?: TargetFormat;
  aliases?: readonly string[];
  tags?: readonly string[];
  properties?: Readonly<Record<string, string>>;
  visibility?: Visibility;
  protected?: boolean;
  /** GiB; from the virtual size where left out. */
  minDiskGib?: number;
  /** MiB. */
  minRamMib?: number;
  /** Digests beside sha256. */
  hash?: readonly string[];
  /** Bytes of the download, and of what it unpacks to. */
  maxBytes?: number;
  /** Also URLs, and redirects, into private networks and to this host. */
  allowPrivate?: boolean;
  workDir?: string;
  signal?: AbortSignal;
  onEvent?: OnEvent;
}

export interface ImportResult {
  image: ImageRecord;
  aliases: readonly { alias: string; version: number }[];
}
