// Reads pieces of an image's data from the layers.
import type { Segment } from '../plan/data-runs.ts';
import { type LayerFile, LayerReader } from './layer-reader.ts';

export class ChainReader {
  readonly #layers: readonly LayerReader[];

  private constructor(layers: readonly LayerReader[]) {
    this.#layers = layers;
  }

  /** Opens the layers, the first one on top. @throws the file system's error. */
  static async open(files: readonly LayerFile[]): Promise<ChainReader> {
    const layers: LayerReader[] = [];
    try {
      for (const file of files) layers.push(await LayerReader.open(file));
    } catch (error) {
      await closeAll(layers);
      throw error;
    }
    return new ChainReader(layers);
  }

  /** Fills `piece` with `segments`, in rising order, and with zeros between them. */
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
