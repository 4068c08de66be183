// Reads a layer's file, through the page cache or past it.
import { stat } from 'node:fs/promises';
import { BLOCK, DirectFile } from '../../host/io/direct-file.ts';

/** A layer to read. */
export interface LayerFile {
  path: string;
  /** Its data is not in the page cache. */
  cold: boolean;
}

/** QEMU does not write the end of a file's last cluster; it reads as zeros. */
const MAX_CLUSTER = 2 * 1024 * 1024;

/**
 * NOTE: data that a guest or a mirror has just written is in the page cache, which is ten times as
 * fast as a disk. Other data costs a page that no process needs again, and comes faster past it.
 */
export class LayerReader {
  readonly #buffered: DirectFile;
  /** Not used for reads at odd offsets, after which a direct file reads through the page cache. */
  readonly #direct: DirectFile;
  readonly #path: string;
  /** Bytes of the file when it was opened. */
  readonly #size: number;

  private constructor(path: string, size: number, files: [DirectFile, DirectFile]) {
    this.#path = path;
    this.#size = size;
    [this.#buffered, this.#direct] = files;
  }

  static async open({ path, cold }: LayerFile): Promise<LayerReader> {
    const buffered = await DirectFile.open(path, { direct: false });
    const direct = await DirectFile.open(path, { direct: cold });
    return new LayerReader(path, (await stat(path)).size, [buffered, direct]);
  }

  /** Fills `memory` with the file's bytes from `at`. @throws Error if the file is shorter than that. */
  async fill(memory: Buffer, at: number): Promise<void> {
    const length = memory.byteLength;
    const isAligned = at % BLOCK === 0 && length % BLOCK === 0;
    const file = isAligned ? this.#direct : this.#buffered;
    const read = await file.read(memory, at, at + length);
    if (read === length) return;
    const isTail = length - read < MAX_CLUSTER && at + read >= this.#size;
    if (!isTail) throw new Error(`${this.#path} ended before its data`);
    memory.fill(0, read);
  }

  async close(): Promise<void> {
    await Promise.all([this.#buffered, this.#direct].map((file) => file.close()));
  }
}
