// Writes one range of a sparse file: large blocks, in the background, and no zeros.
import type { FileHandle } from 'node:fs/promises';

/**
 * NOTE: a socket gives 64 KiB at a time, and a trip to the thread pool for each costs more than
 * the copy into a larger block.
 */
const BLOCK_BYTES = 1024 * 1024;
/** Zeros are left out in runs of this size. */
const HOLE_BYTES = 16 * 1024;
const ZEROS = Buffer.alloc(HOLE_BYTES);

/** Takes the bytes of a range in order. The file must read as zeros where nothing was written. */
export class RangeWriter {
  /** The place in the file up to which all bytes were taken, written or about to be. */
  at: number;
  readonly #file: FileHandle;
  readonly #end: number;
  #block: Buffer;
  /** A block that may be filled while the other one is written. */
  #spare: Buffer;
  #filled = 0;
  #blockStart: number;
  #writing: Promise<void> = Promise.resolve();

  constructor(file: FileHandle, start: number, end: number) {
    this.#file = file;
    this.at = start;
    this.#blockStart = start;
    this.#end = end;
    const size = Math.min(BLOCK_BYTES, Math.max(end - start, 1));
    this.#block = Buffer.allocUnsafe(size);
    this.#spare = Buffer.allocUnsafe(size);
  }

  async take(chunk: Uint8Array): Promise<void> {
    for (let from = 0; from < chunk.byteLength; ) {
      const count = Math.min(chunk.byteLength - from, this.#block.byteLength - this.#filled);
      this.#block.set(chunk.subarray(from, from + count), this.#filled);
      this.#filled += count;
      this.at += count;
      from += count;
      if (this.#filled === this.#block.byteLength || this.at === this.#end) await this.#flush();
    }
  }

  /** Resolves when all that was taken is written. */
  async finish(): Promise<void> {
    await this.#flush();
    await this.#writing;
  }

  async #flush(): Promise<void> {
    await this.#writing;
    const bytes = this.#block.subarray(0, this.#filled);
    this.#writing = writeData(this.#file, bytes, this.#blockStart);
    // Raised by the next flush; until then it must not count as unhandled.
    this.#writing.catch(() => undefined);
    [this.#block, this.#spare] = [this.#spare, this.#block];
    this.#blockStart += this.#filled;
    this.#filled = 0;
  }
}

/** Writes the runs that are not zeros. */
async function writeData(file: FileHandle, bytes: Buffer, at: number): Promise<void> {
  for (let from = 0; from < bytes.byteLength; ) {
    let to = from;
    while (to < bytes.byteLength && !isHole(bytes, to)) to += HOLE_BYTES;
    to = Math.min(to, bytes.byteLength);
    if (to > from) await writeAll(file, bytes.subarray(from, to), at + from);
    from = to === from ? from + HOLE_BYTES : to;
  }
}

function isHole(bytes: Buffer, from: number): boolean {
  const to = Math.min(from + HOLE_BYTES, bytes.byteLength);
  // The first byte tells for nearly all data.
  return bytes[from] === 0 && bytes.compare(ZEROS, 0, to - from, from, to) === 0;
}

async function writeAll(file: FileHandle, bytes: Buffer, at: number): Promise<void> {
  for (let done = 0; done < bytes.byteLength; ) {
    const left = bytes.byteLength - done;
    done += (await file.write(bytes, done, left, at + done)).bytesWritten;
  }
}
