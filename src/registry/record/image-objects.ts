// The objects of an image: the data of each disk, and the artefacts. Pure.
import { PublishError } from '../../core/errors.ts';
import type { ImageDisk, ImageObject, ImageRecord } from './image.ts';
import { describe, usage } from './names.ts';

type WithObjects = Pick<ImageRecord, 'data' | 'disks' | 'artefacts'>;

/** The data of every disk, the root disk first; none before the image is active. */
export function dataObjects({
  data,
  disks,
}: Omit<WithObjects, 'artefacts'>): (ImageObject & Partial<ImageDisk>)[] {
  return disks ?? (data === null ? [] : [data]);
}

/** The data of every disk, then the artefacts. */
export function allObjects(image: WithObjects): ImageObject[] {
  return [...dataObjects(image), ...image.artefacts];
}

/** Bytes of all that the registry has of the image's disks; null before the image is active. */
export function dataSize(image: WithObjects): number | null {
  const objects = dataObjects(image);
  return objects.length === 0 ? null : totalSize(objects);
}

export function totalSize(objects: readonly Pick<ImageObject, 'size'>[]): number {
  return objects.reduce((sum, { size }) => sum + size, 0);
}

/** Returns the target, such as `vda`. A record of one disk has it only in the object's name, `vda.qcow2`. */
export function targetOf({ name, target }: ImageObject & Partial<Pick<ImageDisk, 'target'>>) {
  return target ?? name.split('.')[0] ?? name;
}

/**
 * The data of the disk with this target; of the only disk if none is named.
 * @throws USAGE if there is no such disk, or several to choose from; IMAGE_STATUS if the
 * image has no data here.
 */
export function diskData(
  image: Pick<ImageRecord, 'id' | 'data' | 'disks' | 'properties'>,
  target: string | undefined,
): ImageObject {
  const objects = dataObjects(image);
  const targets = objects.map(targetOf);
  const [only] = objects;
  if (target === undefined && objects.length === 1 && only) return only;
  if (objects.length === 0) throw noData(image);
  const found = objects[targets.indexOf(target ?? '')];
  if (found) return found;
  const has = `image ${image.id} has ${targets.length} disks (${targets.join(', ')})`;
  if (target !== undefined) throw usage(`${has}, and none is ${target}`, 'name one with --disk');
  const hint = `name one with --disk ${targets[0]}, or pull them all into a directory, as DIR/`;
  throw usage(has, hint);
}

/**
 * Returns the volume snapshots that hold the data of an image, as `pool/volume`. Undefined if the
 * data is in the registry, or will be.
 */
export function volumeSnapshots({
  data,
  properties,
}: Pick<ImageRecord, 'data' | 'properties'>): string[] | undefined {
  const mapping = properties.block_device_mapping;
  if (data !== null || mapping === undefined) return undefined;
  try {
    const devices = JSON.parse(mapping) as unknown;
    if (!Array.isArray(devices)) return undefined;
    return devices.map((device) => {
      const id = (device as { snapshot_id?: unknown } | null)?.snapshot_id;
      return typeof id === 'string' ? id : describe(id);
    });
  } catch (error) {
    // Any client may give an image a property of this name.
    if (error instanceof SyntaxError) return undefined;
    throw error;
  }
}

function noData(image: Pick<ImageRecord, 'id' | 'data' | 'properties'>): PublishError {
  const volumes = volumeSnapshots(image)?.join(', ') ?? 'none';
  const message = `image ${image.id} has no data in the registry: it names volume snapshots in storage pools (${volumes})`;
  const hint = 'read them in their pools, for example with virsh vol-download';
  return new PublishError('IMAGE_STATUS', message, { step: 'pull', hint });
}

/** Returns the same objects, each with its ETag in the store. */
export function asStored(
  { data, disks, artefacts }: WithObjects,
  stored: readonly ImageObject[],
): WithObjects {
  const known = <T extends ImageObject>(object: T): T => {
    return { ...object, ...stored.find(({ name }) => name === object.name) };
  };
  return {
    data: data && known(data),
    ...(disks === undefined ? {} : { disks: disks.map(known) }),
    artefacts: artefacts.map(known),
  };
}
