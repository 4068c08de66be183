// Finds the image of this registry that a disk's backing file is.
import { stat } from 'node:fs/promises';
import type { Layer } from '../../domain/chain/backing-chain.ts';
import type { ImageRecord } from '../../registry/record/image.ts';
import { dataObjects } from '../../registry/record/image-objects.ts';
import type { Registry } from '../../registry/registry.ts';
import { hashImage } from '../../transfer/digests/hash-image.ts';
import { fileSource } from '../../transfer/upload/file-source.ts';

/**
 * Returns the active image that a disk's nearest backing file is, byte for byte. Sizes are compared
 * first, so that the file is read only if an image of the same size exists.
 */
export async function findBaseImage(
  registry: Registry,
  backingChain: readonly Layer[],
  signal: AbortSignal,
): Promise<ImageRecord | undefined> {
  const [nearest] = backingChain;
  if (nearest === undefined) return undefined;
  const facts = await stat(nearest.path);
  if (!facts.isFile()) return undefined;
  const candidates = await registry.findImagesBySize(facts.size, { signal });
  if (candidates.length === 0) return undefined;
  const source = await fileSource(nearest.path);
  const { sha256 } = await hashImage(source, ['sha256'], { signal });
  return candidates.find((image) => dataObjects(image).some((each) => each.sha256 === sha256));
}
