// Reads a layer's file from the page cache where it lies there, else past it.
import { stat } from 'node:fs/promises';
import { BLOCK, DirectFile } from '../../host/io/direct-file.ts';
import { PageProbe } from '../../host/io/page-probe.ts';

/** Pages that are looked at: one in each of these. */
const SAMPLE_BYTES = 512 * 1024;
/** Bytes past the page cache before it is looked at again. */
const DIRECT_BYTES = 8 * 1024 * 1024;
/** QEMU leaves the end of a file's last cluster unwritten, which reads as zeros. */
const MAX_CLUSTER = 2 * 1024 * 1024;

/**
 * NOTE: what a guest or a mirror has just written lies in the page cache and comes from there ten
 * times as fast as from a disk. What does not lie there costs a page that nobody needs again, and
 * comes faster past it.
 */
export class LayerReader {
  readonly #buffered: DirectFile;
  readonly #direct: DirectFile;
  readonly #probe: PageProbe;
  readonly #path: string;
  /** As it was opened. */
  readonly #size: number;
  /** Left of those that are read past the page cache without a look. */
  #directBytes = 0;

  private constructor(path: string, size: number, files: [DirectFile, DirectFile, PageProbe]) {
    this.#path = path;
    this.#size = size;
    [this.#buffered, this.#direct, this.#probe] = files;
  }

  static async open(path: string): Promise<LayerReader> {
    const buffered = await DirectFile.open(path, { direct: false });
    const direct = await DirectFile.open(path, { direct: true });
    const probe = await PageProbe.open(path);
    return new LayerReader(path, (await stat(path)).size, [buffered, direct, probe]);
  }

  /** Fills `memory` with the file's bytes from `at`. @throws where the file is shorter than that. */
  async fill(memory: Buffer, at: number): Promise<void> {
    const length = memory.byteLength;
    const isAligned = at % BLOCK === 0 && length % BLOCK === 0;
    const file = isAligned && this.#goesPast(at, length) ? this.#direct : this.#buffered;
    const read = await file.read(memory, at, at + length);
    if (read === length) return;
    const isTail = length - read < MAX_CLUSTER && at + read >= this.#size;
    if (!isTail) throw new Error(`${this.#path} ended before its data`);
    memory.fill(0, read);
  }

  async close(): Promise<void> {
    await Promise.all([this.#buffered, this.#direct, this.#probe].map((file) => file.close()));
  }

  #goesPast(at: number, length: number): boolean {
    const isDue = this.#directBytes <= 0;
    if (isDue && !this.#probe.isCached(at, length, SAMPLE_BYTES)) this.#directBytes = DIRECT_BYTES;
    const isPast = this.#directBytes > 0;
    this.#directBytes -= length;
    return isPast;
  }
}
