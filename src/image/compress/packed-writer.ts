// Collects consecutive bytes of a file and writes them in whole clusters, past the page cache.
import { ignoreRejection } from '../../core/ignore-rejection.ts';
import { alignedMemory } from '../../host/io/direct-file.ts';
import type { Target } from '../qcow2/image-thread.ts';

const BUFFER_BYTES = 1024 * 1024;
const BUFFERS = 4;

export class PackedWriter {
  readonly #target: Target;
  readonly #buffers = alignedMemory(BUFFER_BYTES, BUFFERS).map(
    ({ buffer, byteOffset, byteLength }) => Buffer.from(buffer, byteOffset, byteLength),
  );
  /** The last write of each buffer. */
  readonly #writes: Promise<void>[] = [];
  #current = 0;
  /** Offset of the current buffer in the file. */
  #from: number;
  #filled = 0;

  /** `at` is the offset of the first byte, a multiple of 64 KiB. */
  constructor(target: Target, at: number) {
    this.#target = target;
    this.#from = at;
  }

  /**
   * Adds `pieces`, which the caller may change after it resolves. `at` is the end of the last bytes or
   * lies behind it; the gap is filled with zeros.
   */
  async write(pieces: readonly Buffer[], at: number): Promise<void> {
    if (pieces.length === 0) return;
    for (let gap = at - this.#from - this.#filled; gap > 0; ) {
      const zeros = (await this.#room()).subarray(0, gap).fill(0);
      gap -= this.#take(zeros.byteLength);
    }
    for (const piece of pieces) {
      for (let done = 0; done < piece.byteLength; ) {
        done += this.#take(piece.copy(await this.#room(), 0, done));
      }
    }
  }

  /** Fills the file with zeros up to `size`, a multiple of 64 KiB; resolves when all is written. */
  async finish(size: number): Promise<void> {
    const end = this.#from + this.#filled;
    if (size > end) await this.write([Buffer.alloc(size - end)], end);
    this.#flush();
    await Promise.all(this.#writes);
  }

  /** Resolves when the memory is no longer in use. */
  async settled(): Promise<void> {
    await Promise.allSettled(this.#writes);
  }

  /** Returns the free part of the current buffer. */
  async #room(): Promise<Buffer> {
    if (this.#filled === BUFFER_BYTES) {
      this.#flush();
      await this.#writes[this.#current];
    }
    return this.#buffers[this.#current]?.subarray(this.#filled) ?? Buffer.alloc(0);
  }

  #take(bytes: number): number {
    this.#filled += bytes;
    return bytes;
  }

  #flush(): void {
    const bytes = this.#buffers[this.#current]?.subarray(0, this.#filled) ?? Buffer.alloc(0);
    this.#writes[this.#current] = ignoreRejection(this.#target.write(bytes, this.#from));
    this.#current = (this.#current + 1) % BUFFERS;
    this.#from += this.#filled;
    this.#filled = 0;
  }
}
