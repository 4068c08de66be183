// Compresses clusters with zstd, each to a frame of its own, in Node's thread pool.
import { constants, createZstdCompress } from 'node:zlib';
import { CLUSTER } from '../plan/data-runs.ts';

/** QEMU's level. */
const LEVEL = 3;
/** Room for a frame that did not become shorter, so that it is written in one call. */
const CHUNK_BYTES = 2 * CLUSTER;

/**
 * One zstd context, which compresses one cluster at a time.
 *
 * NOTE: the one-shot `zstdCompress` and `zstdCompressSync` of Node 22 create a context for each call:
 * three times the processor time, and hundreds of MiB of memory that is freed late.
 */
export class Zstd {
  readonly #stream = createZstdCompress({
    // Each write ends its frame.
    flush: constants.ZSTD_e_end,
    chunkSize: CHUNK_BYTES,
    params: { [constants.ZSTD_c_compressionLevel]: LEVEL },
  });
  #parts: Buffer[] = [];

  constructor() {
    this.#stream.on('data', (part: Buffer) => this.#parts.push(part));
    // The write that fails rejects with the error; without a listener it would end the thread.
    this.#stream.on('error', () => undefined);
  }

  /** Returns the parts of `cluster` as one zstd frame. One call at a time. */
  async compress(cluster: Buffer): Promise<Buffer[]> {
    this.#parts = [];
    await new Promise<void>((resolve, reject) => {
      this.#stream.write(cluster, (error) => (error ? reject(error) : resolve()));
    });
    // NOTE: a stream in flowing mode emits all output before the callback of the write.
    if (this.#stream.readableLength > 0) throw new Error('zstd kept a part of its output');
    return this.#parts;
  }

  close(): void {
    this.#stream.destroy();
  }
}
