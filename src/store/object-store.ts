// The interface of a store, in tiers: a bucket and a directory implement it.
import type { Readable } from 'node:stream';
import type { CallOptions, ObjectInfo, StoreLocation } from './object-info.ts';
import type { OpenUpload, PartCheck, PartUpload } from './part-upload.ts';

export type {
  OpenUpload,
  PartBody,
  PartCheck,
  PartInfo,
  PartOrigin,
  PartUpload,
} from './part-upload.ts';

/** `maxBytes`: `SMALL_OBJECT_BYTES` if left out. */
export type ReadOptions = CallOptions & { maxBytes?: number | undefined };

/** Bytes `start` (included) to `end` (not included); the whole object by default. */
export interface RangeOptions extends CallOptions {
  start?: number;
  end?: number;
  /** Only if the object still has this ETag, as `stat` gave it. @throws PRECONDITION_LOST */
  ifMatch?: string | undefined;
}

export interface ListOptions extends CallOptions {
  /** Only keys after this one, in the order of their UTF-8 bytes. */
  startAfter?: string;
  /** Keys of one page at most. */
  limit?: number;
}

/**
 * Reading. Keys are relative to the registry's prefix: segments joined by `/`. A missing
 * object is `undefined`; every other failure is thrown, so that an outage never looks like a
 * missing object.
 */
export interface ReadTier {
  /** The URL that the user gave: `s3://bucket/prefix` or a path; never has credentials. */
  readonly url: string;
  /** The bucket as its own server knows it; a directory has none. */
  readonly location?: StoreLocation;
  /**
   * One cheap request that shows a missing bucket, refused credentials or an unreachable server, or
   * a directory that cannot be written to, or made. Makes nothing.
   */
  checkAccess(options?: CallOptions): Promise<void>;
  /** Whether the whole bucket has no object, below any prefix. Only buckets have it. */
  isVacant?(options?: CallOptions): Promise<boolean>;
  /** A small object, whole. @throws INTEGRITY if it is larger than `maxBytes`. */
  read(key: string, options?: ReadOptions): Promise<Uint8Array | undefined>;
  /** The object as a stream; `undefined` if it does not exist. Errors arrive on the stream. */
  openRead(key: string, options?: RangeOptions): Promise<Readable | undefined>;
  stat(key: string, options?: CallOptions): Promise<ObjectInfo | undefined>;
  /** Every object whose key starts with `prefix`, sorted by the UTF-8 bytes of the key. */
  list(prefix: string, options?: ListOptions): AsyncIterable<ObjectInfo>;
  /** The same, a page at a time: for walks over very many keys. */
  listPages(prefix: string, options?: ListOptions): AsyncIterable<readonly ObjectInfo[]>;
  /**
   * Yields the names directly below, up to and including the next `/`: for `images/` the folders
   * `images/<id>/`, sorted. `prefix` may end within a name. Objects are left out.
   */
  listFolders(prefix: string, options?: CallOptions): AsyncIterable<string>;
}

export interface CreateOptions extends CallOptions {
  contentType?: string;
  check?: PartCheck;
}

/** Writing: every key is written once. */
export interface WriteTier {
  /** Creates a small object completely or not at all. @throws PRECONDITION_LOST if the key exists. */
  create(key: string, body: Uint8Array, options?: CreateOptions): Promise<void>;
  /**
   * Creates the directory of the store; no other method does. Only a directory has it.
   * @throws REGISTRY if the directory above it is missing
   */
  makePlace?(options?: CallOptions): Promise<void>;
  /**
   * Moves a local file into the store without copying it.
   * Resolves to false, with nothing changed, if that is impossible (another file system, a file
   * with other names). Only stores that can do so have it.
   * @throws PRECONDITION_LOST if the key exists.
   */
  moveIn?(key: string, path: string, options?: CallOptions): Promise<boolean>;
  /** Loads, in the background, what the first upload needs. */
  prepare?(): void;
}

export interface StoreLimits {
  /** Applies to every part except the last. */
  minPartBytes: number;
  maxPartBytes: number;
  maxParts: number;
  maxObjectBytes: number;
}

/** A store without multipart uploads keeps the parts below `.uploads/` (see `directory/upload.ts`). */
export interface MultipartTier {
  readonly limits: StoreLimits;
  /**
   * True if parts travel over a network, and the store can check each one. False also switches off
   * the rate limit of uploads.
   */
  readonly wantsPartMd5: boolean;
  startUpload(key: string, options?: CreateOptions): Promise<PartUpload>;
  /** A handle on an upload that was started before, perhaps by another process. No request is made. */
  resumeUpload(key: string, uploadId: string): PartUpload;
  listUploads(prefix: string, options?: CallOptions): AsyncIterable<OpenUpload>;
}

export interface PruneTier {
  /** Removes objects; a missing one counts as removed. */
  remove(keys: readonly string[], options?: CallOptions): Promise<void>;
  /** Yields files that a crash left beside objects and uploads; only a directory can have them. */
  listStrays?(options?: CallOptions): AsyncIterable<ObjectInfo>;
  /** Removes what `listStrays` found. */
  removeStray?(key: string, options?: CallOptions): Promise<void>;
  /**
   * The guests that read or write these objects as files, as `process 4711 (qemu-system-x86)`; root
   * sees those of all users. Only a store whose objects are files of this host has it.
   */
  findGuests?(keys: readonly string[], options?: CallOptions): Promise<string[]>;
}

export interface PresignOptions extends CallOptions {
  expiresSeconds: number;
  /** The name that a browser saves the file under; it must need no quoting. */
  fileName?: string;
}

export interface LinkAnswer {
  status: number;
  /** The body of a small object. */
  body: Uint8Array;
}

/** Methods of some stores only; capabilities/ probes whether they work. */
export interface ExtraTier {
  /** Returns the time of the server, to the second. */
  serverTime?(options?: CallOptions): Promise<Date | undefined>;
  /** A link that reads one object without credentials. */
  presign?(key: string, options: PresignOptions): Promise<string>;
  /** Returns what a client that has only the link receives. */
  followLink?(link: string, options?: CallOptions): Promise<LinkAnswer>;
}

export interface ObjectStore extends ReadTier, WriteTier, MultipartTier, PruneTier, ExtraTier {}

/** The default of `maxBytes` in `read`. */
export const SMALL_OBJECT_BYTES = 16 * 1024 * 1024;
