// Writes one range of a sparse file as its bytes arrive, and leaves the zeros out.
import { writeSync } from 'node:fs';
import { isZero } from '../../host/io/zeros.ts';

/** Zeros are left out in runs of this size, which begin at its multiples. */
const HOLE_BYTES = 16 * 1024;

/** Takes the bytes of a range in order. Ranges that were not written must read as zeros. */
export interface Writer {
  /** The place in the file up to which all bytes were taken. */
  readonly at: number;
  /**
   * Returns a promise if the next chunk must wait: the disk is slower than the sender then.
   * @throws the file system's error, also for bytes that were taken before.
   */
  take(chunk: Uint8Array): Promise<void> | undefined;
}

/**
 * Writes through the page cache.
 *
 * NOTE: written on this thread, at once: the bytes are in the processor's cache then. By way of the
 * thread pool, in blocks of a MiB, the same pull took three times the processor time.
 */
export class RangeWriter implements Writer {
  at: number;
  readonly #fd: number;

  constructor({ fd }: { fd: number }, start: number) {
    this.#fd = fd;
    this.at = start;
  }

  take(chunk: Uint8Array): undefined {
    const bytes = Buffer.from(chunk.buffer, chunk.byteOffset, chunk.byteLength);
    let dataFrom = 0;
    for (let from = 0; from < bytes.byteLength; ) {
      const to = Math.min(bytes.byteLength, from + HOLE_BYTES - ((this.at + from) % HOLE_BYTES));
      if (isZero(bytes, from, to)) {
        this.#write(bytes, dataFrom, from);
        dataFrom = to;
      }
      from = to;
    }
    this.#write(bytes, dataFrom, bytes.byteLength);
    this.at += bytes.byteLength;
  }

  #write(bytes: Buffer, from: number, to: number): void {
    for (let done = from; done < to; ) {
      done += writeSync(this.#fd, bytes, done, to - done, this.at + done);
    }
  }
}
