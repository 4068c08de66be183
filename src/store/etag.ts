// ETags that are an md5 or made of md5s, and what they prove about the bytes of an object. Pure.
import { createHash } from 'node:crypto';
import type { ObjectInfo } from './object-info.ts';
import type { PartInfo } from './object-store.ts';

/** True for an ETag that is an md5: of an object put at once, or of a part. */
export function isMd5(etag: string | null): etag is string {
  return etag !== null && /^[0-9a-f]{32}$/i.test(etag);
}

/**
 * Returns the ETag of an object made of these parts: the md5 of their md5s, and their number.
 * Undefined if a part's ETag is no md5.
 */
export function multipartEtag(parts: readonly PartInfo[]): string | undefined {
  const whole = createHash('md5');
  for (const { etag, opaqueEtag } of parts) {
    if (opaqueEtag || !isMd5(etag)) return undefined;
    whole.update(etag, 'hex');
  }
  return `${whole.digest('hex')}-${parts.length}`;
}

/** Returns true if both are multipart ETags and they differ; false if they cannot be compared. */
export function etagsDiffer(etag: string | null, expected: string | undefined): boolean {
  if (etag === null || expected === undefined || !/^[0-9a-f]{32}-\d+$/i.test(etag)) return false;
  return etag.toLowerCase() !== expected;
}

/** An ETag without its quotes; null if there is none (Ceph 16 and 18 answer Complete with ""). */
export function unquote(etag: string | undefined): string | null {
  const bare = etag?.replace(/^"|"$/g, '') ?? '';
  return bare === '' ? null : bare;
}

/** Returns the facts of an object in a store's answer. */
export function objectInfo(
  key: string,
  size: number | undefined,
  etag: string | undefined,
  lastModified: Date | undefined,
): ObjectInfo {
  return { key, size: size ?? 0, etag: unquote(etag), lastModified: lastModified ?? null };
}
