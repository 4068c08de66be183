// Memory for parts of images, which goes from one upload of this process to the next.
import { sharedPieces } from '../../host/io/direct-file.ts';

/** Larger parts (of images beyond 300 GiB) are read piece by piece, and again to be sent. */
export const PIECE_BYTES = 32 * 1024 * 1024;

const free: Uint8Array[] = [];

/**
 * As many pieces of `PIECE_BYTES`, which threads may share; what of them is never used takes no memory.
 * NOTE: kept by us, for V8 does not count memory of this kind, and so collects it late or never.
 */
export function takePieces(count: number): Uint8Array[] {
  const taken = free.splice(0, count);
  const missing = count - taken.length;
  // At once: each memory reserves addresses beyond its own.
  return missing > 0 ? [...taken, ...sharedPieces(PIECE_BYTES, missing)] : taken;
}

/** Gives back pieces that nothing writes to any more; the garbage collector takes the others. */
export function givePieces(pieces: readonly Uint8Array[]): void {
  free.push(...pieces);
}
