// Finds zeros, which files keep as holes.

/** Zeros are left out in runs of this size: smaller ones cost more in writes than they save. */
export const HOLE_BYTES = 64 * 1024;

const ZEROS = Buffer.alloc(HOLE_BYTES);

/** Returns whether all bytes from `from` to `to`, at most 64 KiB, are zeros. */
export function isZero(bytes: Buffer, from = 0, to = bytes.byteLength): boolean {
  // The first byte decides for nearly all data.
  return bytes[from] === 0 && bytes.compare(ZEROS, 0, to - from, from, to) === 0;
}
