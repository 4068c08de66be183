// The data of an active image to a file.
import { PublishError } from '../errors.ts';
import type { ImageRecord } from './image.ts';
import { imageFolder } from './image-records.ts';
import type { ObjectStore } from './object-store.ts';
import { type PullOptions, pullFile } from './pull-file.ts';
import type { PullPolicy } from './pull-ranges.ts';

/** See Registry.pullImage. */
export async function pullImage(
  store: ObjectStore,
  { id, status, data }: ImageRecord,
  file: string,
  options: PullOptions & { policy: PullPolicy },
): Promise<void> {
  if (status !== 'active' || data === null) {
    const message = `Image ${id} is ${status}; only an active image can be pulled.`;
    throw new PublishError('IMAGE_STATUS', message, { step: 'pull' });
  }
  const source = { key: imageFolder(id) + data.name, size: data.size, sha256: data.sha256 };
  await pullFile(store, source, file, options);
}
