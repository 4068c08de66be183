// Zeros, which files keep as holes.

const ZEROS = Buffer.alloc(64 * 1024);

/** Whether all bytes from `from` to `to` are zeros, 64 KiB at most. */
export function isZero(bytes: Buffer, from = 0, to = bytes.byteLength): boolean {
  // The first byte tells for nearly all data.
  return bytes[from] === 0 && bytes.compare(ZEROS, 0, to - from, from, to) === 0;
}
