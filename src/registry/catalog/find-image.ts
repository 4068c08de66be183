// Finds the one image that a user means: by id, alias, the beginning of an id, or a name.
import { closeNames } from '../../core/close-names.ts';
import { PublishError } from '../../core/errors.ts';
import type { CallOptions } from '../../store/object-info.ts';
import type { ObjectStore } from '../../store/object-store.ts';
import { aliasNames, readAlias } from '../aliases/aliases.ts';
import type { ImageRecord } from '../record/image.ts';
import { lookAtRecord, notFound, readRecord } from '../record/image-records.ts';
import { isAlias, isImageId } from '../record/names.ts';
import { isUnreadable, type UnreadableRecord, unreadableRecord } from '../record/unreadable.ts';
import { type ListRecordsOptions, listRecords } from './list-records.ts';
import { IMAGES } from './walk-images.ts';

/** Shorter beginnings of an id are taken for names. */
const MIN_ID_PREFIX = 4;
const SHOWN_CANDIDATES = 5;

/**
 * Looks for a full id, then an alias, then the one image whose id begins so, then the one image of
 * that name. Killed images are found by id only. What was set on purpose comes before what happens
 * to fit: an id that begins with `cafe` must not take the alias `cafe` away. An image whose record
 * cannot be read has no name here: it is found by its id alone, and raised.
 * @throws IMAGE_NOT_FOUND (also for deleted images), USAGE if several fit, REGISTRY.
 */
export async function findImage(
  store: ObjectStore,
  ref: string,
  options: ListRecordsOptions = {},
): Promise<ImageRecord> {
  const names = new Set<string>();
  const record =
    (await byId(store, ref, options)) ??
    (await byAlias(store, ref, options)) ??
    (await byIdPrefix(store, ref, options)) ??
    (await byName(store, ref, names, options));
  if (record !== undefined && record.status !== 'deleted') return record;
  const all = [...names, ...(await aliasNames(store, options))];
  throw notFound(ref, store.url, closeNames(ref, [...new Set(all)]));
}

async function byId(store: ObjectStore, ref: string, options: CallOptions) {
  return isImageId(ref) ? readRecord(store, ref, options) : undefined;
}

async function byAlias(store: ObjectStore, ref: string, options: CallOptions) {
  if (!isAlias(ref)) return undefined;
  const alias = await readAlias(store, ref, options);
  if (alias === undefined || alias.image_id === null) return undefined;
  const record = await readRecord(store, alias.image_id, options);
  if (record !== undefined && record.status !== 'deleted') return record;
  const message = `alias ${ref} points to image ${alias.image_id}, which does not exist any more`;
  const hint = `move it to another image: virt-publish alias set ${ref} IMAGE`;
  throw new PublishError('IMAGE_NOT_FOUND', message, { step: 'registry', hint });
}

async function byIdPrefix(store: ObjectStore, ref: string, options: CallOptions) {
  if (ref.length < MIN_ID_PREFIX || !/^[0-9a-f-]+$/.test(ref)) return undefined;
  const found: (ImageRecord | UnreadableRecord)[] = [];
  for await (const folder of store.listFolders(IMAGES + ref, options)) {
    const id = folder.slice(IMAGES.length, -1);
    const record = isImageId(id) ? await lookAtRecord(store, id, options) : undefined;
    const isThere = record !== undefined && (isUnreadable(record) || record.status !== 'deleted');
    if (isThere) found.push(record);
    if (found.length > SHOWN_CANDIDATES) break;
  }
  const one = only(found, `several images have an id that begins with ${ref}`);
  if (one !== undefined && isUnreadable(one)) throw unreadableRecord(one);
  return one;
}

/** `names` gets those of the images that are looked at. */
async function byName(
  store: ObjectStore,
  ref: string,
  names: Set<string>,
  options: ListRecordsOptions,
) {
  const found: ImageRecord[] = [];
  const isNamed = ({ status }: ImageRecord) => status !== 'deleted' && status !== 'killed';
  for await (const some of listRecords(store, options))
    for (const record of some.filter(isNamed)) {
      names.add(record.name);
      if (record.name === ref) found.push(record);
    }
  return only(found, `several images have the name ${ref}`);
}

function only<T extends ImageRecord | UnreadableRecord>(
  found: readonly T[],
  several: string,
): T | undefined {
  if (found.length <= 1) return found[0];
  const nameOf = (image: T) => (isUnreadable(image) ? 'cannot be read' : image.name);
  const shown = found.slice(0, SHOWN_CANDIDATES).map((image) => `${image.id} (${nameOf(image)})`);
  const more = found.length > SHOWN_CANDIDATES ? ' and more' : '';
  const hint = `name one of them: ${shown.join(', ')}${more}`;
  throw new PublishError('USAGE', several, { step: 'registry', hint });
}
