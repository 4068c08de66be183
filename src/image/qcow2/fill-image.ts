// Makes the bytes of a flat image: computes the tables and reads the data from the layers.
import type { ChainReader } from './chain-reader.ts';
import type { Qcow2Layout } from './qcow2-layout.ts';

/** The sources of an image's bytes. */
export interface ImageParts {
  chain: ChainReader;
  layout: Qcow2Layout;
}

/** Fills `piece`, of whole clusters, with the image's bytes from `start`, a multiple of 64 KiB. */
export async function fillImage(
  piece: Buffer,
  start: number,
  { chain, layout }: ImageParts,
): Promise<void> {
  await chain.fill(piece, layout.segments(start, start + piece.byteLength));
  layout.fillTables(piece, start);
}
