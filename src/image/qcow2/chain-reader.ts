// Reads pieces of an image's data out of the layers that hold them.
import type { Segment } from '../plan/data-runs.ts';
import { LayerReader } from './layer-reader.ts';

export class ChainReader {
  readonly #layers: readonly LayerReader[];

  private constructor(layers: readonly LayerReader[]) {
    this.#layers = layers;
  }

  /** `paths`: the layers' files, the first one on top. */
  static async open(paths: readonly string[]): Promise<ChainReader> {
    const layers: LayerReader[] = [];
    try {
      for (const path of paths) layers.push(await LayerReader.open(path));
    } catch (error) {
      await closeAll(layers);
      throw error;
    }
    return new ChainReader(layers);
  }

  /** Fills `piece` with `segments`, which rise, and with zeros around them. */
  async fill(piece: Buffer, segments: Iterable<Segment>): Promise<void> {
    let filled = 0;
    for (const { depth, at, length, to } of segments) {
      piece.fill(0, filled, to);
      await this.#layers[depth]?.fill(piece.subarray(to, to + length), at);
      filled = to + length;
    }
    piece.fill(0, filled);
  }

  close(): Promise<void> {
    return closeAll(this.#layers);
  }
}

async function closeAll(layers: readonly LayerReader[]): Promise<void> {
  await Promise.allSettled(layers.map((layer) => layer.close()));
}
