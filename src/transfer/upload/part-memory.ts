// Memory for parts of images, which the uploads of this process share one after the other.
import { sharedPieces } from '../../host/io/direct-file.ts';

/** Larger parts (of images beyond 300 GiB) are read piece by piece, and again to be sent. */
export const PIECE_BYTES = 32 * 1024 * 1024;

const free: Uint8Array[] = [];

/**
 * Returns `count` pieces of `PIECE_BYTES` that threads may share; unused pages take no memory.
 * NOTE: pieces are kept for reuse, since V8 does not count such memory and collects it late or never.
 */
export function takePieces(count: number): Uint8Array[] {
  const taken = free.splice(0, count);
  const missing = count - taken.length;
  // All in one memory: each memory reserves addresses beyond its own.
  return missing > 0 ? [...taken, ...sharedPieces(PIECE_BYTES, missing)] : taken;
}

/** Returns pieces that no thread writes to any more; the garbage collector frees the others. */
export function givePieces(pieces: readonly Uint8Array[]): void {
  free.push(...pieces);
}
