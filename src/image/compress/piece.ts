// A piece of an image's data on its way: read, then compressed in place, cluster by cluster.
import { alignedMemory } from '../../host/io/direct-file.ts';
import { isZero } from '../../host/io/zeros.ts';
import { CLUSTER } from '../plan/data-runs.ts';
import { Zstd } from './zstd.ts';

export const PIECE_CLUSTERS = 32;
export const PIECE_BYTES = PIECE_CLUSTERS * CLUSTER;

/** Memory for one piece at a time. */
export class Piece {
  /** The clusters' data; after `compress`, each compressed one begins at its cluster's place. */
  readonly data: Buffer;
  /**
   * The bytes of each cluster after `compress`: 0 if it is full of zeros, 64 KiB if it did not become
   * shorter.
   */
  readonly lengths = new Uint32Array(PIECE_CLUSTERS);
  readonly #zstd = new Zstd();

  /** Returns `count` of them. A direct read may fill their data. */
  static allocate(count: number): Piece[] {
    return alignedMemory(PIECE_BYTES, count).map((memory) => new Piece(memory));
  }

  private constructor({ buffer, byteOffset, byteLength }: Uint8Array) {
    this.data = Buffer.from(buffer, byteOffset, byteLength);
  }

  /** Compresses the first `clusters` of `data` and sets their `lengths`. */
  async compress(clusters: number): Promise<void> {
    for (let n = 0; n < clusters; n += 1) {
      const cluster = this.data.subarray(n * CLUSTER, (n + 1) * CLUSTER);
      this.lengths[n] = isZero(cluster) ? 0 : await this.#compressCluster(cluster);
    }
  }

  close(): void {
    this.#zstd.close();
  }

  /** NOTE: QEMU reads a compressed cluster of 64 KiB or more as damaged, so that one stays plain. */
  async #compressCluster(cluster: Buffer): Promise<number> {
    const parts = await this.#zstd.compress(cluster);
    const length = parts.reduce((sum, part) => sum + part.byteLength, 0);
    if (length >= CLUSTER) return CLUSTER;
    let at = 0;
    for (const part of parts) at += part.copy(cluster, at);
    return length;
  }
}
