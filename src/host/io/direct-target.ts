// A file that is written past the page cache where its file system can, and that keeps zeros as holes.
import { constants } from 'node:fs';
import { type FileHandle, open } from 'node:fs/promises';
import { hasCode } from '../../core/errors.ts';
import { descriptorPath } from '../files/own-file.ts';
import { BLOCK } from './direct-file.ts';
import { isZero } from './zeros.ts';

/** Zeros are left out in runs of this size: smaller ones cost more in writes than they spare. */
export const HOLE_BYTES = 64 * 1024;

/** A file that is written past the page cache, beside the handle that its owner has on it. */
export class DirectTarget {
  readonly #direct: FileHandle;
  readonly #buffered: FileHandle;
  #isRefused = false;

  private constructor(direct: FileHandle, buffered: FileHandle) {
    this.#direct = direct;
    this.#buffered = buffered;
  }

  /** `undefined` where the file system has no such way. */
  static async open(buffered: FileHandle): Promise<DirectTarget | undefined> {
    const { O_WRONLY, O_DIRECT } = constants;
    try {
      // By its descriptor: another user may have given its name to another file.
      const direct = await open(descriptorPath(buffered), O_WRONLY | O_DIRECT);
      return new DirectTarget(direct, buffered);
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

/** Through the page cache. */
export async function writeAll(file: FileHandle, bytes: Buffer, at: number): Promise<void> {
  for (let done = 0; done < bytes.byteLength; ) {
    done += (await file.write(bytes, done, bytes.byteLength - done, at + done)).bytesWritten;
  }
}
