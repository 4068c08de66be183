// An upload in parts, as any store has it.
import type { Readable } from 'node:stream';
import type { CallOptions, ObjectInfo, StoreLocation } from './object-info.ts';

export type PartCheck = 'none' | 'md5' | 'crc32c';

/** One part to send. `open` returns a new stream of exactly `length` bytes on each call. */
export interface PartBody {
  /** Where the part starts in the object, in bytes. */
  start: number;
  length: number;
  /** In hex; the store refuses the part if it received something else. */
  md5?: string | undefined;
  crc32c?: string | undefined;
  open(): Readable;
}

/** Bytes `start` (included) to `end` (not included) of an object that the same server has. */
export interface PartOrigin {
  location: StoreLocation;
  key: string;
  start: number;
  end: number;
  /** Only if the object still is this one. */
  etag: string | null;
}

/** A part the store has. */
export interface PartInfo {
  number: number;
  size: number;
  etag: string | null;
  /** The ETag proves nothing about the bytes, although it looks like an md5 (SSE-KMS, SSE-C). */
  opaqueEtag?: boolean;
  /** In hex; not listed. */
  crc32c?: string;
}

/** A multipart upload that is open. Parts count from 1; a part sent again replaces the first one. */
export interface PartUpload {
  readonly key: string;
  readonly uploadId: string;
  /** @throws INTEGRITY (retryable) if `md5` does not match, UPLOAD for other failures. */
  putPart(number: number, body: PartBody, options?: CallOptions): Promise<PartInfo>;
  /** A part that the server copies by itself; the range must not be empty. Only buckets have it. */
  copyPart?(number: number, from: PartOrigin, options?: CallOptions): Promise<PartInfo>;
  /**
   * Makes the object of exactly these parts. If the answer was lost or makes no sense, the
   * object itself is looked up, since only that shows whether it was made.
   * @throws PRECONDITION_LOST if the key exists and the store reports that.
   */
  complete(parts: readonly PartInfo[], options?: CallOptions): Promise<ObjectInfo>;
  /** Removes the upload and its parts; no error if it does not exist. */
  abort(options?: CallOptions): Promise<void>;
  /** Returns the parts that the store has, by number; none if the upload does not exist. */
  listParts(options?: CallOptions): Promise<PartInfo[]>;
  /** Returns when its last part was stored, by the store's clock; null if it has none or does not exist. */
  touchedAt(options?: CallOptions): Promise<Date | null>;
}

export type OpenUpload = { key: string; uploadId: string; startedAt: Date | null };
