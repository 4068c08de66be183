// What a bucket is opened with.
import type { S3Options } from './access.ts';

export interface S3StoreOptions extends S3Options {
  bucket: string;
  /** Without slashes at its ends; empty for the bucket itself. */
  prefix: string;
  /** For the answer to one request, and for silence while an object is read. */
  requestMs: number;
  /** For sending one part, and for the store to put an object together. */
  partMs: number;
}
