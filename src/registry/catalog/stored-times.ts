// When images came into a store, by the store's own clock.
import type { CallOptions } from '../../store/object-info.ts';
import type { ObjectStore } from '../../store/object-store.ts';
import { isImageId } from '../record/names.ts';
import { IMAGES } from './walk-images.ts';

/** Up to this many images are listed one by one; for more, the whole registry is listed. */
const FEW = 64;

/**
 * The time of the oldest object of each of these images, in ms: data and artefacts are written once,
 * so it stays what it is when versions of the record come and go. An image is left out if the
 * store reports no time.
 */
export async function readStoredTimes(
  store: ObjectStore,
  ids: ReadonlySet<string>,
  options: CallOptions,
): Promise<Map<string, number>> {
  const times = new Map<string, number>();
  const prefixes = ids.size > FEW ? [IMAGES] : [...ids].map((id) => `${IMAGES}${id}/`);
  for (const prefix of prefixes) {
    for await (const { key, lastModified } of store.list(prefix, options)) {
      const id = key.split('/')[1] ?? '';
      const at = lastModified?.getTime() ?? Number.NaN;
      if (!isImageId(id) || !ids.has(id) || Number.isNaN(at)) continue;
      times.set(id, Math.min(times.get(id) ?? Infinity, at));
    }
  }
  return times;
}
