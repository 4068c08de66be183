// Writes ranges of a sparse file in large pieces, each range from memory of its own.
import { alignedMemory } from '../../host/io/direct-file.ts';
import type { DirectTarget } from '../../host/io/direct-target.ts';
import { HOLE_BYTES } from '../../host/io/zeros.ts';
import type { Writer } from './pull-writer.ts';

const MIB = 1024 * 1024;

/** Memory of all pieces together; one piece is filled while the one before it is written. */
const MEMORY_BYTES = 64 * MIB;
const MOST_PIECE_BYTES = 4 * MIB;

/** Memory for `count` concurrent writers; each takes pieces and returns them at its end. */
export class WriterMemory {
  readonly #free: Uint8Array[];

  constructor(count: number) {
    const share = Math.floor(MEMORY_BYTES / (2 * count) / HOLE_BYTES) * HOLE_BYTES;
    this.#free = alignedMemory(Math.min(share, MOST_PIECE_BYTES), 2 * count);
  }

  take(): [Buffer, Buffer] {
    return [this.#takeOne(), this.#takeOne()];
  }

  release(pieces: readonly Buffer[]): void {
    this.#free.push(...pieces);
  }

  #takeOne(): Buffer {
    const { buffer, byteOffset, byteLength } = this.#free.pop() ?? new Uint8Array();
    return Buffer.from(buffer, byteOffset, byteLength);
  }
}

/** Writes in large pieces, which the bytes are copied to. `pieces` are its own until it is settled. */
export class DirectWriter implements Writer {
  at: number;
  readonly #target: DirectTarget;
  /** The one that is filled, and the one that is written. */
  #pieces: readonly [Buffer, Buffer];
  #filled = 0;
  #writing: Promise<void> = Promise.resolve();

  constructor(target: DirectTarget, start: number, pieces: readonly [Buffer, Buffer]) {
    this.#target = target;
    this.at = start;
    this.#pieces = pieces;
  }

  take(chunk: Uint8Array): Promise<void> | undefined {
    const rest = this.#copy(chunk);
    return rest.byteLength > 0 || this.#isFull ? this.#takeRest(rest) : undefined;
  }

  /** Writes the bytes that were taken. @throws the file system's error */
  async finish(): Promise<void> {
    await this.#writeOn();
    await this.#writing;
  }

  /** Waits until nothing uses the memory any more, however that ends. */
  async waitForWrites(): Promise<void> {
    await this.#writing.catch(() => undefined);
  }

  get #isFull(): boolean {
    return this.#filled === this.#pieces[0].byteLength;
  }

  async #takeRest(chunk: Uint8Array): Promise<void> {
    let rest = chunk;
    do {
      await this.#writeOn();
      rest = this.#copy(rest);
    } while (this.#isFull);
  }

  /** Copies what has room; the rest of the chunk. */
  #copy(chunk: Uint8Array): Uint8Array {
    const [piece] = this.#pieces;
    const length = Math.min(chunk.byteLength, piece.byteLength - this.#filled);
    piece.set(length === chunk.byteLength ? chunk : chunk.subarray(0, length), this.#filled);
    this.#filled += length;
    this.at += length;
    return chunk.subarray(length);
  }

  /** Begins to write the piece that is filled, when the one before it is written. */
  async #writeOn(): Promise<void> {
    await this.#writing;
    const [piece, other] = this.#pieces;
    const bytes = piece.subarray(0, this.#filled);
    this.#writing = this.#target.write(bytes, this.at - this.#filled);
    // The rejection is thrown by the `await`; until then it must not count as unhandled.
    this.#writing.catch(() => undefined);
    this.#pieces = [other, piece];
    this.#filled = 0;
  }
}
