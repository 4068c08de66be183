// Finds the garbage of one image, by its newest record and the time of the last change.
import type { CallOptions, ObjectInfo } from '../../store/object-info.ts';
import type { ObjectStore, OpenUpload } from '../../store/object-store.ts';
import { CLAIM_MS, isClaim } from '../aliases/alias-claims.ts';
import type { ImageRecord } from '../record/image.ts';
import { allObjects } from '../record/image-objects.ts';
import { imageFolder, lookAtRecord, recordFolder } from '../record/image-records.ts';
import { MAX_VERSION, versionOf } from '../record/records.ts';
import { isUnreadable, type UnreadableRecord } from '../record/unreadable.ts';

/**
 * `image`: a record left in `queued` or `saving` by a run that died; `upload`: an open multipart
 * upload; `object`: data of no record; `record`: a version that others came after; `stray`: files
 * of a directory that never became objects, and what probes left.
 */
export type GarbageKind = 'image' | 'upload' | 'object' | 'record' | 'stray';

/** An object or a record that nothing owns. */
export interface Garbage {
  kind: GarbageKind;
  key: string;
  /** Bytes; null if the store does not report them. */
  size: number | null;
  /** ISO 8601 in UTC: when it was last touched. */
  touched_at: string | null;
  reason: string;
  upload_id?: string;
  /** The image as it was found; an image with a newer version is not changed. */
  image?: { id: string; version: number };
}

/** All that a store has below one image's folder. */
export interface Leftovers {
  id: string;
  objects: readonly ObjectInfo[];
  uploads: readonly OpenUpload[];
}

/**
 * Returns what was touched before `cutoff` (ms) and has no owner. If the record cannot be read,
 * returns that: what it owns is unknown.
 */
export async function imageGarbage(
  store: ObjectStore,
  leftovers: Leftovers,
  cutoff: number,
  options: CallOptions,
): Promise<Garbage[] | UnreadableRecord> {
  const { id, objects } = leftovers;
  const isRecord = ({ key }: ObjectInfo) =>
    key.startsWith(recordFolder(id)) && versionOf(key) !== undefined;
  const hasRecord = objects.some(({ key }) => key.startsWith(recordFolder(id)));
  const record = hasRecord ? await lookAtRecord(store, id, options) : undefined;
  if (record !== undefined && isUnreadable(record)) return record;
  // Its record was removed meanwhile, so its objects are unknown now.
  if (hasRecord && record === undefined) return [];
  const uploads = await touched(store, leftovers.uploads, options);
  const isUnfinished = record?.status === 'queued' || record?.status === 'saving';
  const times = [
    ...objects.map(({ lastModified }) => lastModified),
    ...uploads.map(({ at }) => at),
  ];
  // NOTE: a run that works on an unfinished image has touched something of it: its record, an
  // object or a part. So all of it is old, or none of it is garbage.
  if (isUnfinished && !times.every((time) => isBefore(time, cutoff))) return [];
  const image = record === undefined ? {} : { image: { id, version: record.version } };
  // NOTE: a client that moves an alias to the image may need its claim, however short `cutoff` is.
  const cutoffOf = (key: string) => (isClaim(key) ? cutoff - CLAIM_MS : cutoff);
  const old = objects.filter(({ key, lastModified }) => isBefore(lastModified, cutoffOf(key)));
  return [
    ...(record !== undefined && isUnfinished ? [deadImage(record, times)] : []),
    ...uploads.filter(({ at }) => isBefore(at, cutoff)).map((upload) => openUpload(upload, image)),
    ...unowned(old, record, isRecord, image),
    ...superseded(old, record, isRecord, image),
  ];
}

interface TouchedUpload extends OpenUpload {
  at: Date | null;
}

async function touched(
  store: ObjectStore,
  uploads: readonly OpenUpload[],
  options: CallOptions,
): Promise<TouchedUpload[]> {
  const found: TouchedUpload[] = [];
  for (const upload of uploads) {
    const last = await store.resumeUpload(upload.key, upload.uploadId).touchedAt(options);
    found.push({ ...upload, at: last ?? upload.startedAt });
  }
  return found;
}

/** An object of unknown age does not count as old. */
function isBefore(time: Date | null, cutoff: number): boolean {
  return time !== null && time.getTime() < cutoff;
}

type OfImage = Pick<Garbage, 'image'>;

function deadImage(record: ImageRecord, times: readonly (Date | null)[]): Garbage {
  const last = new Date(Math.max(...times.map((time) => time?.getTime() ?? 0)));
  const { id, version, status, name } = record;
  return {
    ...{ kind: 'image', key: imageFolder(id), size: null, touched_at: last.toISOString() },
    reason: `"${name}" is ${status}, and no run works on it`,
    image: { id, version },
  };
}

function openUpload({ key, uploadId, at }: TouchedUpload, image: OfImage): Garbage {
  return {
    ...{ kind: 'upload', key, size: null, touched_at: at?.toISOString() ?? null },
    reason: 'an upload that no run continues',
    upload_id: uploadId,
    ...image,
  };
}

function unowned(
  old: readonly ObjectInfo[],
  record: ImageRecord | undefined,
  isRecord: (object: ObjectInfo) => boolean,
  image: OfImage,
): Garbage[] {
  const owned = new Set(record === undefined ? [] : ownedKeys(record));
  const reason =
    record === undefined
      ? 'no record of its image'
      : `not in the record of its ${record.status} image`;
  return old
    .filter((object) => !isRecord(object) && !owned.has(object.key))
    .map((object) => ({ kind: 'object', ...facts(object), reason, ...image }));
}

function ownedKeys(image: ImageRecord): string[] {
  if (image.status !== 'active' && image.status !== 'deactivated') return [];
  return allObjects(image).map(({ name }) => imageFolder(image.id) + name);
}

// NOTE: a version is removed only when it is old itself. A slow writer that read the one before it
// would otherwise create it a second time, below the newest, and take that for a success.
function superseded(
  old: readonly ObjectInfo[],
  record: ImageRecord | undefined,
  isRecord: (object: ObjectInfo) => boolean,
  image: OfImage,
): Garbage[] {
  // If no version can follow the newest one, an older version is kept for a repair.
  if (record === undefined || record.version >= MAX_VERSION) return [];
  const isOlder = ({ key }: ObjectInfo) => (versionOf(key) ?? Infinity) < record.version;
  const reason = `version ${record.version} came after it`;
  return old
    .filter((object) => isRecord(object) && isOlder(object))
    .map((object) => ({ kind: 'record', ...facts(object), reason, ...image }));
}

function facts({ key, size, lastModified }: ObjectInfo) {
  return { key, size, touched_at: lastModified?.toISOString() ?? null };
}
