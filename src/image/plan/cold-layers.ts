// Which layers of a chain are read past the page cache, because their data does not lie in it.
import type { DataExtents } from '../../domain/chain/extents.ts';
import { areCold, samplePlaces } from '../../host/io/is-cold.ts';

/**
 * Returns for each layer whether most of its data is missing from the page cache, as far as samples
 * show; false for a layer with little data.
 *
 * NOTE: it is asked here and not in the threads that read: the question loads koffi, and a thread that
 * is ended while it loads koffi ends the whole process.
 */
export function coldLayers(layers: readonly string[], extents: DataExtents): Promise<boolean[]> {
  const ranges = layers.map((): { at: number; length: number }[] => []);
  for (let n = 0; n < extents.count; n += 1) {
    ranges[extents.depth[n] ?? 0]?.push({ at: extents.at[n] ?? 0, length: extents.length[n] ?? 0 });
  }
  return Promise.all(layers.map((path, depth) => areCold(path, samplePlaces(ranges[depth] ?? []))));
}
