// Writes ranges of a sparse file past the page cache, each from memory of its own, and leaves the zeros out.
import { constants } from 'node:fs';
import { type FileHandle, open } from 'node:fs/promises';
import { alignedMemory, BLOCK } from '../upload/direct-file.ts';
import { hasCode } from './file-errors.ts';
import type { Writer } from './pull-writer.ts';

const MIB = 1024 * 1024;
/** Zeros are left out in runs of this size: smaller ones cost more in writes than they spare. */
const HOLE_BYTES = 64 * 1024;
const ZEROS = Buffer.alloc(HOLE_BYTES);

/** Of all pieces together; one piece is filled while the one before it is written. */
const MEMORY_BYTES = 64 * MIB;
const MOST_PIECE_BYTES = 4 * MIB;

/** A file that is written past the page cache, beside the handle that its owner has on it. */
export class DirectTarget {
  readonly #direct: FileHandle;
  readonly #buffered: FileHandle;
  #isRefused = false;

  private constructor(direct: FileHandle, buffered: FileHandle) {
    this.#direct = direct;
    this.#buffered = buffered;
  }

  /** `undefined` where the file system has no such way. `buffered` is open for the same file. */
  static async open(path: string, buffered: FileHandle): Promise<DirectTarget | undefined> {
    const { O_WRONLY, O_DIRECT, O_NOFOLLOW } = constants;
    try {
      return new DirectTarget(await open(path, O_WRONLY | O_DIRECT | O_NOFOLLOW), buffered);
    } catch (error) {
      if (hasCode(error, 'EINVAL')) return undefined;
      throw error;
    }
  }

  /** Writes the bytes of `piece`, which begins at a page, from byte `at` of the file, but for its zeros. */
  async write(piece: Buffer, at: number): Promise<void> {
    let dataFrom = 0;
    for (let from = 0; from < piece.byteLength; from += HOLE_BYTES) {
      const to = Math.min(from + HOLE_BYTES, piece.byteLength);
      if (!isZero(piece, from, to)) continue;
      await this.#writeRun(piece.subarray(dataFrom, from), at + dataFrom);
      dataFrom = to;
    }
    await this.#writeRun(piece.subarray(dataFrom), at + dataFrom);
  }

  async close(): Promise<void> {
    await this.#direct.close();
  }

  async #writeRun(bytes: Buffer, at: number): Promise<void> {
    const whole = at % BLOCK === 0 ? bytes.byteLength - (bytes.byteLength % BLOCK) : 0;
    const done = await this.#writeDirect(bytes.subarray(0, whole), at);
    await writeAll(this.#buffered, bytes.subarray(done), at + done);
  }

  /** How much was written; the rest is for the page cache. */
  async #writeDirect(bytes: Buffer, at: number): Promise<number> {
    let done = 0;
    // A write that is cut short (the disk is nearly full) may end within a block.
    while (done < bytes.byteLength && done % BLOCK === 0 && !this.#isRefused) {
      try {
        const left = bytes.byteLength - done;
        done += (await this.#direct.write(bytes, done, left, at + done)).bytesWritten;
      } catch (error) {
        if (!hasCode(error, 'EINVAL')) throw error;
        // It took the flag and refuses the write: its block may be larger than ours.
        this.#isRefused = true;
      }
    }
    return done;
  }
}

/** Memory for `count` writers at once, which each take it, and give it back when they are done. */
export class WriterMemory {
  readonly #free: Uint8Array[];

  constructor(count: number) {
    const share = Math.floor(MEMORY_BYTES / (2 * count) / HOLE_BYTES) * HOLE_BYTES;
    this.#free = alignedMemory(Math.min(share, MOST_PIECE_BYTES), 2 * count);
  }

  take(): [Buffer, Buffer] {
    return [this.#takeOne(), this.#takeOne()];
  }

  giveBack(pieces: readonly Buffer[]): void {
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

  /** Writes what was taken. @throws what the file system says. */
  async finish(): Promise<void> {
    await this.#writeOn();
    await this.#writing;
  }

  /** Waits until nothing uses the memory any more, however that ends. */
  async settle(): Promise<void> {
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
    // Raised where it is awaited; until then it must not count as unhandled.
    this.#writing.catch(() => undefined);
    this.#pieces = [other, piece];
    this.#filled = 0;
  }
}

async function writeAll(file: FileHandle, bytes: Buffer, at: number): Promise<void> {
  for (let done = 0; done < bytes.byteLength; ) {
    done += (await file.write(bytes, done, bytes.byteLength - done, at + done)).bytesWritten;
  }
}

function isZero(bytes: Buffer, from: number, to: number): boolean {
  // The first byte tells for nearly all data.
  return bytes[from] === 0 && bytes.compare(ZEROS, 0, to - from, from, to) === 0;
}
