// Reads pieces of an image's data out of the layers that hold them.
import type { DataRuns } from './data-runs.ts';
import { LayerReader } from './layer-reader.ts';

export class ChainReader {
  readonly #layers: readonly LayerReader[];
  readonly #runs: DataRuns;

  private constructor(layers: readonly LayerReader[], runs: DataRuns) {
    this.#layers = layers;
    this.#runs = runs;
  }

  /** `paths`: the layers' files, the first one on top. */
  static async open(paths: readonly string[], runs: DataRuns): Promise<ChainReader> {
    const layers: LayerReader[] = [];
    try {
      for (const path of paths) layers.push(await LayerReader.open(path));
    } catch (error) {
      await closeAll(layers);
      throw error;
    }
    return new ChainReader(layers, runs);
  }

  /** Fills `piece` with the data from byte `from` of them; both are multiples of 64 KiB. */
  async fill(piece: Buffer, from: number): Promise<void> {
    let filled = 0;
    for (const { depth, at, length, to } of this.#runs.segments(from, from + piece.byteLength)) {
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
