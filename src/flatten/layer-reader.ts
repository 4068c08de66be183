// Reads a layer's file through the page cache while that is fast, else past it.
import { BLOCK, DirectFile } from '../files/direct-file.ts';

/**
 * 400 MiB/s: copying from the page cache takes a third of it on an idle processor. Past the cache the
 * disk would have to read what the cache has, beside all that is written.
 */
const SLOW_MS_A_MIB = 2.5;
/** In a row: a single one may have waited for the processor. */
const SLOW_READS = 2;
const MIB = 1024 * 1024;
/** Reads past the page cache before it is tried again. */
const DIRECT_READS = 32;
/** QEMU leaves the end of a file's last cluster unwritten, which reads as zeros. */
const MAX_CLUSTER = 2 * MIB;

/**
 * NOTE: what a guest or a mirror has just written lies in the page cache and comes from there
 * several times as fast as from a disk. What does not lie there costs a page that nobody needs
 * again, and comes faster past it.
 */
export class LayerReader {
  readonly #buffered: DirectFile;
  readonly #direct: DirectFile;
  readonly #path: string;
  #directReads = 0;
  #slowReads = 0;

  private constructor(path: string, buffered: DirectFile, direct: DirectFile) {
    this.#path = path;
    this.#buffered = buffered;
    this.#direct = direct;
  }

  static async open(path: string): Promise<LayerReader> {
    const buffered = await DirectFile.open(path, { direct: false });
    return new LayerReader(path, buffered, await DirectFile.open(path, { direct: true }));
  }

  /** Fills `memory` with the file's bytes from `at`. @throws where the file is shorter than that. */
  async fill(memory: Buffer, at: number): Promise<void> {
    const length = memory.byteLength;
    const read = await this.#read(memory, at);
    if (read === length) return;
    const isTail = read > 0 && length - read < MAX_CLUSTER;
    if (!isTail) throw new Error(`${this.#path} ended before its data`);
    memory.fill(0, read);
  }

  async close(): Promise<void> {
    await Promise.all([this.#buffered.close(), this.#direct.close()]);
  }

  async #read(memory: Buffer, at: number): Promise<number> {
    const end = at + memory.byteLength;
    const isAligned = at % BLOCK === 0 && memory.byteLength % BLOCK === 0;
    if (this.#directReads > 0 && isAligned) {
      this.#directReads -= 1;
      return this.#direct.read(memory, at, end);
    }
    const begun = performance.now();
    const read = await this.#buffered.read(memory, at, end);
    const isSlow = performance.now() - begun > SLOW_MS_A_MIB * Math.max(1, read / MIB);
    this.#slowReads = isSlow ? this.#slowReads + 1 : 0;
    if (this.#slowReads >= SLOW_READS) this.#directReads = DIRECT_READS;
    return read;
  }
}
