// Finds images by the size of their data, without reading every record.
import type { CallOptions } from '../../store/object-info.ts';
import type { ObjectStore } from '../../store/object-store.ts';
import type { ImageRecord } from '../record/image.ts';
import { dataObjects } from '../record/image-objects.ts';
import { lookAtRecord } from '../record/image-records.ts';
import { isImageId } from '../record/names.ts';
import { isUnreadable } from '../record/unreadable.ts';
import { IMAGES } from './walk-images.ts';

/** NOTE: LIST has the sizes, so only the records of images that fit are read. */
export async function findImagesBySize(
  store: ObjectStore,
  size: number,
  options: CallOptions,
): Promise<ImageRecord[]> {
  const found: ImageRecord[] = [];
  for await (const object of store.list(IMAGES, options)) {
    if (object.size !== size) continue;
    const [id = '', name] = object.key.slice(IMAGES.length).split('/');
    const record = isImageId(id) ? await lookAtRecord(store, id, options) : undefined;
    // An image whose record cannot be read is not offered as a parent.
    if (record === undefined || isUnreadable(record) || record.status !== 'active') continue;
    const isData = dataObjects(record).some((each) => each.name === name);
    if (isData && !found.some((each) => each.id === id)) found.push(record);
  }
  return found;
}
