// An image out of the registry in another format than it has there.
import { stat, unlink } from 'node:fs/promises';
import type { Config } from '../config.ts';
import type { OnEvent } from '../events.ts';
import { runStep } from '../events.ts';
import { checkImage, flatten } from '../flatten/flatten.ts';
import { orMissing } from '../registry/file-errors.ts';
import type { ImageRecord } from '../registry/image.ts';
import { exists, nameFile } from '../registry/pull-name.ts';
import type { Registry } from '../registry/registry.ts';
import type { DiskFormat } from '../snapshot-types.ts';
import { withImageBytes } from './image-bytes.ts';
import { inspectImage } from './inspect-image.ts';

export interface PullAsOptions {
  file: string;
  /** The image's own where left out. */
  format?: DiskFormat | undefined;
  overwrite: boolean;
  config: Config;
  signal: AbortSignal;
  onEvent: OnEvent;
}

/**
 * Pulls an image to FILE; where another format is asked for, to FILE.source, and converts it from
 * there. FILE has its name only when it is whole and was checked.
 * @throws as Registry.pullImage; IMAGE_REFUSED, QEMU_IMG, NO_SPACE, INTEGRITY
 */
export async function pullAs(
  registry: Registry,
  image: ImageRecord,
  options: PullAsOptions,
): Promise<void> {
  const { file, format = image.disk_format, overwrite } = options;
  if (format === image.disk_format) return pullPlain(registry, image, { ...options, file });
  if (!overwrite && (await orMissing(stat(file))) !== undefined) throw exists(file);
  const source = `${file}.source`;
  const converted = `${file}.converted`;
  await pullPlain(registry, image, { ...options, file: source, overwrite: true });
  try {
    await convertPulled({ path: source, format: image.disk_format }, converted, format, options);
    await nameFile(converted, file, overwrite);
  } finally {
    await orMissing(unlink(source));
    await orMissing(unlink(converted));
  }
}

async function pullPlain(
  registry: Registry,
  image: ImageRecord,
  { file, overwrite, signal, onEvent }: PullAsOptions,
): Promise<void> {
  const total = image.size ?? 0;
  await runStep(onEvent, 'pull', () =>
    registry.pullImage(image.id, file, {
      overwrite,
      signal,
      onProgress: (bytes) => onEvent({ type: 'progress', step: 'pull', bytes, total }),
      onNote: (message) => onEvent({ type: 'note', level: 'info', step: 'pull', message }),
    }),
  );
}

// NOTE: the digest says that the data is what the record means, not that its maker meant well: it
// is looked at as any other image of somebody else before qemu-img opens it.
async function convertPulled(
  source: { path: string; format: DiskFormat },
  path: string,
  format: DiskFormat,
  { config, signal, onEvent }: PullAsOptions,
): Promise<void> {
  const { maxVirtualBytes } = config.import;
  const { virtualSize } =
    source.format === 'raw'
      ? { virtualSize: (await stat(source.path)).size }
      : await withImageBytes(source.path, (bytes) =>
          inspectImage(bytes, { expected: source.format, maxVirtualBytes }),
        );
  const request = { target: { path, format }, timeouts: config.timeouts, onEvent, signal };
  const chained = { ...source, backingChain: [] };
  await flatten({ ...request, source: chained, virtualSize, compress: 'none' });
  await checkImage(request);
}
