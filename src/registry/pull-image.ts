// The data of an active image: to a file, or as a link.
import { PublishError } from '../core/errors.ts';
import type { CallOptions } from '../store/object-info.ts';
import type { ObjectStore } from '../store/object-store.ts';
import { type PullOptions, pullFile } from '../transfer/download/pull-file.ts';
import type { PullPolicy } from '../transfer/download/pull-ranges.ts';
import type { ImageObject, ImageRecord } from './record/image.ts';
import { diskData } from './record/image-objects.ts';
import { imageFolder } from './record/image-records.ts';
import { describe, fileNameOf, usage } from './record/names.ts';

/** Which disk of an image of several. */
export interface DiskChoice {
  /** Its target; it can be left out if there is only one. */
  disk?: string | undefined;
}

/** See Registry.pullImage. */
export async function pullImage(
  store: ObjectStore,
  image: ImageRecord,
  file: string,
  options: PullOptions & DiskChoice & { policy: PullPolicy; artefact?: string | undefined },
): Promise<void> {
  assertReadable(image);
  const { name, size, sha256 } = objectToPull(image, options);
  const format = options.artefact === undefined ? image.disk_format : undefined;
  const key = imageFolder(image.id) + name;
  await pullFile(store, { key, size, sha256, format }, file, options);
}

/** Returns the artefact that is named, or the data of the disk. @throws USAGE if there is none, or several */
export function objectToPull(
  image: ImageRecord,
  { disk, artefact }: DiskChoice & { artefact?: string | undefined },
): ImageObject {
  return artefactOf(image, artefact) ?? diskData(image, disk);
}

/** @throws USAGE if the image has no such artefact, naming those that it has */
function artefactOf(
  { id, artefacts }: ImageRecord,
  name: string | undefined,
): ImageObject | undefined {
  if (name === undefined) return undefined;
  const artefact = artefacts.find((each) => each.name === name);
  if (artefact) return artefact;
  const names = artefacts.map((each) => each.name).join(', ') || 'none';
  throw usage(`image ${id} has no artefact ${describe(name)}`, `name one of: ${names}`);
}

/** The longest life of a link: what signature version 4 allows. */
const MAX_LINK_S = 7 * 24 * 3600;

/** See Registry.presignImage. */
export async function presignImage(
  store: ObjectStore,
  image: ImageRecord,
  { expiresSeconds, disk, signal }: { expiresSeconds: number } & DiskChoice & CallOptions,
): Promise<string> {
  const { id, data, name, disk_format } = readable(image, { disk });
  if (
    !(Number.isSafeInteger(expiresSeconds) && expiresSeconds >= 1 && expiresSeconds <= MAX_LINK_S)
  ) {
    throw usage('a link can last 1 second to 7 days', 'give --expires a time between them');
  }
  if (store.presign === undefined) {
    throw usage(
      `${store.url} is a directory, and only a bucket has links`,
      `pull the image with: virt-publish pull ${id}`,
    );
  }
  const bare = disk === undefined ? name : `${name}-${disk}`;
  const fileName = `${fileNameOf(bare)}.${disk_format}`;
  return store.presign(imageFolder(id) + data.name, { expiresSeconds, fileName, signal });
}

function readable(image: ImageRecord, { disk }: DiskChoice): ImageRecord & { data: ImageObject } {
  assertReadable(image);
  return { ...image, data: diskData(image, disk) };
}

/** @throws IMAGE_STATUS unless it is active */
export function assertReadable({ id, status }: ImageRecord): void {
  if (status === 'active') return;
  const message = `image ${id} is ${status}; only an active image can be pulled`;
  const hint = status === 'deactivated' ? { hint: `run: virt-publish reactivate ${id}` } : {};
  throw new PublishError('IMAGE_STATUS', message, { step: 'pull', ...hint });
}
