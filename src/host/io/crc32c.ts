// CRC32C, the checksum of the parts of an upload; the only importer of @node-rs/crc32.
import { crc32c } from '@node-rs/crc32';

/** Returns the unsigned checksum of `bytes`. With `before`, continues that checksum. */
export function crc32cOf(bytes: Uint8Array, before?: number): number {
  return crc32c(Buffer.from(bytes.buffer, bytes.byteOffset, bytes.byteLength), before);
}

/** Returns the checksum as eight hex digits. */
export function crc32cHex(sum: number): string {
  return (sum >>> 0).toString(16).padStart(8, '0');
}
