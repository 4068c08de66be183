// The options of a registry's methods. Types only.
import type { Readable } from 'node:stream';
import type { OnEvent } from '../core/events.ts';
import type { ImageObject, ImageRecord } from '../registry/record/image.ts';
import type { S3Options } from '../store/s3/aws-settings.ts';

/** How a registry is opened. Missing options come from the configuration. */
export interface OpenRegistryOptions {
  /** The S3 server and the credentials. */
  s3?: S3Options;
  /** Cap of what is sent to a bucket, in MiB/s; 0 is none. */
  uploadRateMib?: number;
  /** Receives warnings about the registry, and about records that cannot be read and are left out. */
  onEvent?: OnEvent;
}

/** Options of every call. */
export interface CallOptions {
  /** Aborts the call: it rejects with INTERRUPTED, and the signal's reason as cause. */
  signal?: AbortSignal;
}

/** Options of calls that report bytes. */
export interface ProgressOptions extends CallOptions {
  /** Receives the number of bytes so far; returns at once. */
  onProgress?: (bytes: number) => void;
}

/** Which object of an image is meant: the data of a disk, or an artefact. */
export interface ObjectChoice {
  /** Target (`vda`) of a disk of an image of several. */
  disk?: string;
  /** Name (`domain.xml`) of an artefact, instead of the data. */
  artefact?: string;
}

/** Options of `pullImage`. */
export interface PullImageOptions extends ProgressOptions, ObjectChoice {
  /** Replaces the file if it exists. */
  overwrite?: boolean;
}

/** Options of `readImage`. */
export interface ReadImageOptions extends CallOptions, ObjectChoice {}

/** An object of an image while it is read. */
export interface ImageStream {
  image: ImageRecord;
  object: ImageObject;
  /** The bytes in order. It fails with INTEGRITY at its end if they are not those of the record. */
  stream: Readable;
}

/** Options of `presignImage`. */
export interface PresignImageOptions extends CallOptions {
  /** How long the link works: 1 to 604,800 s. */
  expiresSeconds: number;
  /** Target (`vda`) of a disk of an image of several. */
  disk?: string;
}

/** Options of `listImages`. */
export interface ListImagesOptions extends CallOptions {
  /** Yields killed and deleted images too. */
  all?: boolean;
}

/** Options of `queryImages`. */
export interface QueryImagesOptions extends CallOptions {
  /** The last image of the page before: its id, or any reference to it. */
  marker?: string;
}

/** Options of `changeImage`. */
export interface ChangeImageOptions extends CallOptions {
  /** Fails with PRECONDITION_LOST unless the record is at this version. */
  expectVersion?: number;
}

/** Options of `verifyImage`. */
export interface VerifyImageOptions extends ProgressOptions {
  /** Compares sizes and ETags only, and reads nothing back. */
  quick?: boolean;
}

/** Options of `deleteImage`. */
export interface DeleteImageOptions extends CallOptions {
  /** Deletes an image that an alias points to, or whose record cannot be read. */
  force?: boolean;
}

/** Options of `pruneImages`. */
export interface PruneImagesOptions extends CallOptions {
  /** Only images of this name. */
  name?: string;
  /** Returns what would be deleted, and deletes nothing. */
  dryRun?: boolean;
}

/** Options of `collectGarbage`. */
export interface CollectGarbageOptions extends CallOptions {
  /** Only objects that nothing touched for this long. */
  olderThanMs: number;
  /** Removes what is found, before it is yielded; nothing is changed if left out. */
  remove?: boolean;
}

/** Options of `setAlias`. */
export interface SetAliasOptions extends CallOptions {
  /** Fails with PRECONDITION_LOST unless the alias is at this version; 0 is an alias that was never set. */
  expectVersion?: number;
}

/** Options of `removeAlias`. */
export interface RemoveAliasOptions extends SetAliasOptions {
  /** Removes the history as well, if no version can follow the newest one. */
  force?: boolean;
}

/** Options of `rollbackAlias`. */
export interface RollbackAliasOptions extends CallOptions {
  /** The version to go back to; the image that it pointed to before if left out. */
  toVersion?: number;
}
