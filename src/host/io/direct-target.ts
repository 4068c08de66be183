// A file that is written past the page cache if the file system supports that; zeros become holes.
import { constants } from 'node:fs';
import { type FileHandle, open } from 'node:fs/promises';
import { hasCode } from '../../core/errors.ts';
import { descriptorPath } from '../files/own-file.ts';
import { BLOCK } from './direct-file.ts';
import { HOLE_BYTES, isZero } from './zeros.ts';

/** A second, direct handle on a file that its owner has open. */
export class DirectTarget {
  readonly #direct: FileHandle;
  readonly #buffered: FileHandle;
  #isRejected = false;

  private constructor(direct: FileHandle, buffered: FileHandle) {
    this.#direct = direct;
    this.#buffered = buffered;
  }

  /** Returns `undefined` if the file system has no O_DIRECT. */
  static async open(buffered: FileHandle): Promise<DirectTarget | undefined> {
    const { O_WRONLY, O_DIRECT } = constants;
    try {
      // Opened by its descriptor: another user may have given its name to another file.
      const direct = await open(descriptorPath(buffered), O_WRONLY | O_DIRECT);
      return new DirectTarget(direct, buffered);
    } catch (error) {
      if (hasCode(error, 'EINVAL')) return undefined;
      throw error;
    }
  }

  /** Writes `piece`, which begins at a page, at byte `at` of the file, and leaves out its zeros. */
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

  /** Returns the number of bytes written; the caller writes the rest through the page cache. */
  async #writeDirect(bytes: Buffer, at: number): Promise<number> {
    let done = 0;
    // A short write (the disk is nearly full) may end within a block.
    while (done < bytes.byteLength && done % BLOCK === 0 && !this.#isRejected) {
      try {
        const left = bytes.byteLength - done;
        done += (await this.#direct.write(bytes, done, left, at + done)).bytesWritten;
      } catch (error) {
        if (!hasCode(error, 'EINVAL')) throw error;
        // The file system accepts the flag and rejects the write: its block may be larger than BLOCK.
        this.#isRejected = true;
      }
    }
    return done;
  }
}

/** Writes all `bytes` at byte `at`, through the page cache. */
export async function writeAll(file: FileHandle, bytes: Buffer, at: number): Promise<void> {
  for (let done = 0; done < bytes.byteLength; ) {
    done += (await file.write(bytes, done, bytes.byteLength - done, at + done)).bytesWritten;
  }
}
