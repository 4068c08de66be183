// Where the bytes of a disk's image come from: the file it was written to, or the layers it is made of while it is sent.
import type { Config } from '../../config/config.ts';
import { messageOf, PublishError } from '../../core/errors.ts';
import type { ImageSource } from '../../host/io/image-source.ts';
import type { ImageFile } from '../../qemu/qemu-img.ts';
import { fileSource } from '../../transfer/upload/file-source.ts';
import { isUnreadable, markOfPlan, type PlannedImage, planReadable } from './plan-image.ts';
import { plannedBytes, plannedSource } from './planned-source.ts';

/** The chain that an image is made of, from the file that was captured on. It stands in the journal. */
export interface ImageLayers {
  /** Of the captured file. */
  format: string;
  backingChain: readonly ImageFile[];
  /** What tells that the same bytes come of it again. */
  mark: string;
  /** Bytes of the image. */
  size: number;
}

interface DiskImage {
  /** The image file, or the captured one. */
  path: string;
  direct?: boolean;
  /** Left out where the image is a file. */
  layers?: ImageLayers;
  /** Bytes of the guest's disk. */
  virtual_size: number;
}

/**
 * The image again, after the process that planned it died.
 * @throws PublishError UPLOAD where its file or a layer cannot be read just now; INTEGRITY where its
 * layers are no longer what they were; QEMU_IMG; the signal's reason.
 */
export async function reopenImage(
  { path, direct = false, layers, virtual_size }: DiskImage,
  { convertMs, requestMs }: Pick<Config['timeouts'], 'convertMs' | 'requestMs'>,
  signal: AbortSignal,
): Promise<ImageSource> {
  if (layers === undefined) return fileSource(path, { direct });
  const { format, backingChain, mark, size } = layers;
  const source = { path, format, backingChain, timeoutMs: convertMs, signal };
  const files = [path, ...backingChain.map((layer) => layer.path)].join(', ');
  const planned = await planAgain(source, virtual_size, files);
  if (planned && markOfPlan(planned) === mark && plannedBytes(planned) === size)
    return plannedSource(planned, { timeoutMs: requestMs, signal });
  const message = `the layers of the image are no longer what they were (${files}); take it anew`;
  throw new PublishError('INTEGRITY', message, { step: 'upload' });
}

/** NOTE: what cannot be read may be what it was; its image is not to be given up for that. */
async function planAgain(
  source: Parameters<typeof planReadable>[0],
  virtualSize: number,
  files: string,
): Promise<PlannedImage | undefined> {
  try {
    // Whether its zeros are worth leaving out was asked before.
    return await planReadable(source, virtualSize, { probeZeros: true });
  } catch (error) {
    if (!isUnreadable(error)) throw error;
    const message = `the layers of the image (${files}) cannot be read: ${messageOf(error)}; run virt-publish recover --resume again when they can, or virt-publish recover to give the image up`;
    throw new PublishError('UPLOAD', message, { step: 'upload', cause: error });
  }
}
