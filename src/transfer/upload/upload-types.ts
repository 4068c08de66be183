// Options and results of an upload.
import type { ImageSource } from '../../host/io/image-source.ts';
import type { MultipartTier, ReadTier } from '../../store/object-store.ts';
import type { RetryPolicy } from '../../store/retrying/retry.ts';
import type { DigestAlgorithm, Digests } from '../digests/digests.ts';
import type { RateLimit } from './rate-limit.ts';

export interface UploadPolicy extends RetryPolicy {
  partSizeMib: number;
  /** Parts under way at once. */
  concurrency: number;
  /** Deadline of one try to send a part of `partSizeMib`; a larger part has as much more. */
  partMs: number;
  /** Cap of the upload to a bucket, in MiB/s; no cap by default or if 0. */
  rateMib?: number;
  /** Shared by all who send at that rate. */
  rate?: RateLimit;
}

export interface UploadImageOptions {
  key: string;
  contentType?: string;
  source: ImageSource;
  algorithms: readonly DigestAlgorithm[];
  policy: UploadPolicy;
  /** The store was seen to refuse a wrong checksum: it need not be md5, which costs much more. */
  checksums?: boolean | undefined;
  signal?: AbortSignal | undefined;
  /** Continues the upload of an earlier process. */
  resume?: boolean | undefined;
  /** Known digests: the source is then read only to be sent. */
  digests?: Digests | undefined;
  /** Called with the bytes sent so far; bytes of a failed attempt are subtracted again. */
  onProgress?: ((bytes: number) => void) | undefined;
}

export interface UploadImageResult {
  size: number;
  etag: string | null;
  digests: Digests;
}

export type Target = MultipartTier & Pick<ReadTier, 'stat' | 'url'>;
