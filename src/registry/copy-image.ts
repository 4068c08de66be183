// Copies an image to another registry, under the same id; it becomes active when all its data is there.
import { PublishError } from '../core/errors.ts';
import type { CallOptions } from '../store/object-info.ts';
import type { ObjectStore } from '../store/object-store.ts';
import { type CopyWay, copyObject } from '../transfer/upload/copy-object.ts';
import type { UploadPolicy } from '../transfer/upload/upload-types.ts';
import { checkObjects } from './image-data.ts';
import { assertRecord, keepUnknown } from './record/check-record.ts';
import type { ImageRecord } from './record/image.ts';
import { allObjects, asStored, dataObjects } from './record/image-objects.ts';
import { imageFolder, readRecord, recordFolder } from './record/image-records.ts';
import { createVersion, readVersion } from './record/records.ts';

export interface CopyImageRequest extends CallOptions {
  from: ObjectStore;
  to: ObjectStore;
  image: ImageRecord;
  policy: UploadPolicy;
  /** Bytes of data and artefacts copied so far. */
  onProgress?: ((bytes: number) => void) | undefined;
}

/** A copied image, in its new registry. */
export interface CopiedImage {
  image: ImageRecord;
  /** How the data was copied; `there` if the image existed already. */
  way: CopyWay;
}

/**
 * NOTE: there is no `queued` record before the data, unlike for a new image: no client waits for
 * it, and one that a crashed copy left would take the id for good. Objects without a record are
 * unseen; the next copy continues with them, or `gc` removes them.
 * @throws IMAGE_STATUS (not active here, or not free there), INTEGRITY, UPLOAD, REGISTRY, INTERRUPTED
 */
export async function copyImage(request: CopyImageRequest): Promise<CopiedImage> {
  const { from, to, image, signal } = request;
  const { id, status } = image;
  if (status !== 'active')
    throw statusError(`image ${id} is ${status} in ${from.url}; only an active image is copied`);
  const there = await findThere(to, image, { signal });
  if (there !== undefined) return { image: there, way: 'there' };
  let way: CopyWay = 'there';
  let before = 0;
  for (const object of [...image.artefacts, ...dataObjects(image)]) {
    const onProgress = (bytes: number) => request.onProgress?.(before + bytes);
    way = await copyObject({ ...request, key: imageFolder(id) + object.name, object, onProgress });
    before += object.size;
  }
  return { image: await createRecord(request), way };
}

/** Returns the same image if the target has it. @throws IMAGE_STATUS if its id is taken */
async function findThere(
  to: ObjectStore,
  { id, data }: ImageRecord,
  options: CallOptions,
): Promise<ImageRecord | undefined> {
  const there = await readRecord(to, id, options);
  if (there === undefined) return undefined;
  if (there.status === 'active' && there.data?.sha256 === data?.sha256) return there;
  throw statusError(
    `image ${id} is ${there.status} in ${to.url}, and an id is used once`,
    'publish it there under a new id, with pull and import',
  );
}

async function createRecord({ from, to, image, signal }: CopyImageRequest): Promise<ImageRecord> {
  const options = { signal };
  const stored = await checkObjects(to, image.id, allObjects(image), options);
  const updated_at = new Date().toISOString();
  const record = assertRecord({ ...image, ...asStored(image, stored), version: 1, updated_at });
  const folder = recordFolder(image.id);
  const before = await readVersion(from, folder, image.version, options);
  try {
    const kept =
      before?.problem === undefined ? keepUnknown(record, before?.value ?? image) : record;
    await createVersion(to, folder, 1, kept, options);
    return record;
  } catch (error) {
    const isLost = error instanceof PublishError && error.code === 'PRECONDITION_LOST';
    const there = isLost ? await findThere(to, image, options) : undefined;
    if (there === undefined) throw error;
    return there;
  }
}

function statusError(message: string, hint?: string): PublishError {
  const options = { step: 'registry', ...(hint === undefined ? {} : { hint }) } as const;
  return new PublishError('IMAGE_STATUS', message, options);
}
