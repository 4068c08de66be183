// Memory that the threads share which read, compress and write an image: a slot for each piece under way.
import { alignedSharedMemory } from '../../host/io/direct-file.ts';
import { CLUSTER } from '../plan/data-runs.ts';

export const PIECE_CLUSTERS = 32;
export const PIECE_BYTES = PIECE_CLUSTERS * CLUSTER;

/** What a thread is given of it. */
export interface SharedPieces {
  /** Of each slot: the piece. */
  bytes: SharedArrayBuffer;
  lengths: SharedArrayBuffer;
}

export interface Slot {
  /** The piece as it was read (a direct read may fill it), then each cluster as it became, at its place. */
  data: Buffer;
  /** Of each cluster: 0 where it is full of zeros, 64 KiB where it did not become shorter. */
  lengths: Uint32Array;
}

export function sharePieces(slots: number): SharedPieces {
  return {
    bytes: alignedSharedMemory(PIECE_BYTES * slots),
    lengths: new SharedArrayBuffer(slots * PIECE_CLUSTERS * Uint32Array.BYTES_PER_ELEMENT),
  };
}

export class PieceMemory {
  readonly #slots: readonly Slot[];

  constructor({ bytes, lengths }: SharedPieces) {
    const count = Math.floor(bytes.byteLength / PIECE_BYTES);
    this.#slots = Array.from({ length: count }, (_, n) => ({
      data: Buffer.from(bytes, n * PIECE_BYTES, PIECE_BYTES),
      lengths: new Uint32Array(lengths, n * PIECE_CLUSTERS * 4, PIECE_CLUSTERS),
    }));
  }

  get count(): number {
    return this.#slots.length;
  }

  at(slot: number): Slot {
    const found = this.#slots[slot];
    if (found === undefined) throw new RangeError(`there is no slot ${slot}`);
    return found;
  }
}
