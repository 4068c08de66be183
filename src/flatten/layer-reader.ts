// Reads a layer's file from the page cache where it lies there, else past it.
import { readSync } from 'node:fs';
import { type FileHandle, open } from 'node:fs/promises';
import { BLOCK, DirectFile } from '../files/direct-file.ts';

/** Far more than a page takes that lies in memory, and less than most disks take for one. */
const CACHED_PAGE_MS = 0.05;
/** Pages that are looked at: one in each of these. */
const SAMPLE_BYTES = 512 * 1024;
/** Bytes past the page cache before it is looked at again. */
const DIRECT_BYTES = 8 * 1024 * 1024;
/** QEMU leaves the end of a file's last cluster unwritten, which reads as zeros. */
const MAX_CLUSTER = 2 * 1024 * 1024;

/**
 * NOTE: what a guest or a mirror has just written lies in the page cache and comes from there ten
 * times as fast as from a disk. What does not lie there costs a page that nobody needs again, and
 * comes faster past it. Only the time that a page takes tells which it is; it is read here and not
 * in Node's thread pool, where it would wait behind the large reads and writes.
 */
export class LayerReader {
  readonly #buffered: DirectFile;
  readonly #direct: DirectFile;
  readonly #pages: FileHandle;
  readonly #page = Buffer.alloc(BLOCK);
  readonly #path: string;
  /** Left of those that are read past the page cache without a look. */
  #directBytes = 0;

  private constructor(path: string, files: [DirectFile, DirectFile, FileHandle]) {
    this.#path = path;
    [this.#buffered, this.#direct, this.#pages] = files;
  }

  static async open(path: string): Promise<LayerReader> {
    const buffered = await DirectFile.open(path, { direct: false });
    const direct = await DirectFile.open(path, { direct: true });
    return new LayerReader(path, [buffered, direct, await open(path, 'r')]);
  }

  /** Fills `memory` with the file's bytes from `at`. @throws where the file is shorter than that. */
  async fill(memory: Buffer, at: number): Promise<void> {
    const length = memory.byteLength;
    const isAligned = at % BLOCK === 0 && length % BLOCK === 0;
    const file = isAligned && this.#goesPast(at, length) ? this.#direct : this.#buffered;
    const read = await file.read(memory, at, at + length);
    if (read === length) return;
    const isTail = read > 0 && length - read < MAX_CLUSTER;
    if (!isTail) throw new Error(`${this.#path} ended before its data`);
    memory.fill(0, read);
  }

  async close(): Promise<void> {
    await Promise.all([this.#buffered, this.#direct, this.#pages].map((file) => file.close()));
  }

  #goesPast(at: number, length: number): boolean {
    if (this.#directBytes <= 0 && !this.#isCached(at, length)) this.#directBytes = DIRECT_BYTES;
    const isPast = this.#directBytes > 0;
    this.#directBytes -= length;
    return isPast;
  }

  /** Whether most of it is. */
  #isCached(at: number, length: number): boolean {
    let balance = 0;
    for (let from = 0; from < length; from += SAMPLE_BYTES) {
      const middle = from + Math.min(SAMPLE_BYTES, length - from) / 2;
      balance += this.#takesLong(at + middle - (middle % BLOCK)) ? -1 : 1;
    }
    return balance > 0;
  }

  #takesLong(at: number): boolean {
    const begun = performance.now();
    readSync(this.#pages.fd, this.#page, 0, BLOCK, at);
    return performance.now() - begun > CACHED_PAGE_MS;
  }
}
