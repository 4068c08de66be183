// Pulls the disks of an image into a directory, each as a file.
import { lstat, mkdir } from 'node:fs/promises';
import { join } from 'node:path';
import { hasCode, PublishError } from '../../core/errors.ts';
import { orMissing } from '../../host/files/file-errors.ts';
import { foreignness } from '../../host/files/own-file.ts';
import { assertReadable } from '../../registry/pull-image.ts';
import type { ImageObject, ImageRecord } from '../../registry/record/image.ts';
import { dataObjects, diskData, targetOf } from '../../registry/record/image-objects.ts';
import type { Registry } from '../../registry/registry.ts';
import { hashImage } from '../../transfer/digests/hash-image.ts';
import { placeError } from '../../transfer/download/pull-place.ts';
import { fileSource } from '../../transfer/upload/file-source.ts';
import { type PullAsOptions, pullAs } from './pull-as.ts';

/**
 * Pulls all disks, or the one with this target, to `<directory>/<target>.<format>`. One that is
 * there already with the right bytes is kept, so that a pull that was interrupted continues.
 * Resolves to the files, the root disk's first.
 * @throws what `pullAs` throws; USAGE if the directory cannot be created
 */
export async function pullDisks(
  registry: Registry,
  image: ImageRecord,
  { directory, ...options }: Omit<PullAsOptions, 'file'> & { directory: string },
): Promise<string[]> {
  assertReadable(image);
  const { disk, format = image.disk_format, onEvent, signal } = options;
  const all = dataObjects(image);
  const objects = disk === undefined && all.length > 0 ? all : [diskData(image, disk)];
  await makeDirectory(directory);
  const files: string[] = [];
  for (const object of objects) {
    const file = join(directory, `${targetOf(object)}.${format}`);
    if (format === image.disk_format && (await isComplete(file, object, signal))) {
      const message = `${file} exists already, with the right bytes`;
      onEvent({ type: 'note', level: 'info', step: 'pull', message });
    } else await pullAs(registry, image, { ...options, disk: targetOf(object), file });
    files.push(file);
  }
  return files;
}

async function makeDirectory(path: string): Promise<void> {
  try {
    await mkdir(path, { recursive: true });
  } catch (cause) {
    if (!hasCode(cause, 'EEXIST', 'ENOTDIR')) throw placeError(cause, path);
    const message = `${path} is not a directory, or lies below a file`;
    throw new PublishError('USAGE', message, { step: 'pull', hint: 'name another directory' });
  }
}

async function isComplete(
  file: string,
  { size, sha256 }: ImageObject,
  signal: AbortSignal,
): Promise<boolean> {
  const found = await orMissing(lstat(file));
  // Another user could replace the file later.
  if (found?.size !== size || foreignness(found) !== undefined) return false;
  return (await hashImage(await fileSource(file), ['sha256'], { signal })).sha256 === sha256;
}
