// The checksum that parts carry; the only importer of the library that computes it.
import { crc32c } from '@node-rs/crc32';

/** Of `bytes`, or of what `before` is of and `bytes` after it. Unsigned, 32 bits. */
export function crc32cOf(bytes: Uint8Array, before?: number): number {
  return crc32c(Buffer.from(bytes.buffer, bytes.byteOffset, bytes.byteLength), before);
}

/** Eight hex digits. */
export function crc32cHex(sum: number): string {
  return (sum >>> 0).toString(16).padStart(8, '0');
}
