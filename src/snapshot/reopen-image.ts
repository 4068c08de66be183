// Where the bytes of a disk's image come from: the file it was written to, or the layers it is made of while it is sent.
import { PublishError } from '../errors.ts';
import type { ImageSource } from '../files/image-source.ts';
import { markOfPlan, type PlannedImage, planImage } from '../flatten/plan-image.ts';
import { plannedSource } from '../flatten/planned-source.ts';
import type { ImageFile } from '../flatten/qemu-img.ts';
import { fileSource } from '../upload/source.ts';

/** The chain that an image is made of, from the file that was captured on. It stands in the journal. */
export interface ImageLayers {
  /** Of the captured file. */
  format: string;
  backingChain: readonly ImageFile[];
  /** What tells that the same bytes come of it again. */
  mark: string;
}

interface DiskImage {
  /** The image file, or the captured one. */
  path: string;
  direct?: boolean;
  /** Left out where the image is a file. */
  layers?: ImageLayers;
  /** Bytes of the image, and of the guest's disk. */
  size: number;
  virtual_size: number;
}

/**
 * The image again, after the process that planned it died.
 * @throws PublishError UPLOAD where its file cannot be read; INTEGRITY where its layers are no longer
 * what they were; the signal's reason.
 */
export async function reopenImage(
  { path, direct = false, layers, size, virtual_size }: DiskImage,
  limits: { timeoutMs: number; signal: AbortSignal },
): Promise<ImageSource> {
  if (layers === undefined) return fileSource(path, { direct });
  const { format, backingChain, mark } = layers;
  // Whether its zeros are worth leaving out was asked before.
  const how = { findsZeros: true };
  const planned = await planImage({ path, format, backingChain, ...limits }, virtual_size, how);
  if (planned && markOfPlan(planned) === mark && imageBytes(planned) === size)
    return plannedSource(planned);
  const below = backingChain.map((layer) => layer.path);
  const message = `the layers of the image are no longer what they were (${[path, ...below].join(', ')}); take it anew`;
  throw new PublishError('INTEGRITY', message, { step: 'upload' });
}

/** The size of the image that is made of a plan. */
export function imageBytes(planned: PlannedImage): number {
  return plannedSource(planned).size;
}
