// Opens the source of an image again after its run died: its file, or the layers that it is made from.
import type { Config } from '../../config/config.ts';
import { messageOf, PublishError } from '../../core/errors.ts';
import type { ImageSource } from '../../host/io/image-source.ts';
import type { ImageFile } from '../../qemu/qemu-img.ts';
import { fileSource } from '../../transfer/upload/file-source.ts';
import { isUnreadable, markOfPlan, type PlannedImage, planReadable } from './plan-image.ts';
import { plannedBytes, plannedSource } from './planned-source.ts';

/** The chain that an image is made from, as the journal has it. */
export interface ImageLayers {
  /** Format of the captured file. */
  format: string;
  backingChain: readonly ImageFile[];
  /** Equal if the chain still makes the same bytes. */
  mark: string;
  /** Bytes of the image. */
  size: number;
}

interface DiskImage {
  /** The image file, or the captured one. */
  path: string;
  direct?: boolean;
  /** Left out if the image is a file. */
  layers?: ImageLayers;
  /** Bytes of the guest's disk. */
  virtual_size: number;
}

/**
 * Returns the source of an image whose process died.
 * @throws PublishError UPLOAD if its file or a layer cannot be read at the moment; INTEGRITY if its
 * layers were changed; QEMU_IMG; the signal's reason.
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
  const message = `the layers of the image were changed since it was planned (${files})`;
  throw new PublishError('INTEGRITY', message, { step: 'upload', hint: 'take a new snapshot' });
}

/** NOTE: a layer that cannot be read may be unchanged, so the image is not abandoned. */
async function planAgain(
  source: Parameters<typeof planReadable>[0],
  virtualSize: number,
  files: string,
): Promise<PlannedImage | undefined> {
  try {
    // The first plan has already probed for zeros.
    return await planReadable(source, virtualSize, { skipZeroProbe: true });
  } catch (error) {
    if (!isUnreadable(error)) throw error;
    const message = `the layers of the image (${files}) cannot be read: ${messageOf(error)}`;
    const hint =
      'run virt-publish recover --resume when they can be read, or virt-publish recover to abandon the image';
    throw new PublishError('UPLOAD', message, { step: 'upload', cause: error, hint });
  }
}
