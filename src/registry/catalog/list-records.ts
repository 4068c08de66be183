// The newest record of every image, read a few at once, and only where it is not known already.
import { eachBounded, mapBounded } from '../../core/bounded.ts';
import type { CallOptions } from '../../store/object-info.ts';
import type { ObjectStore } from '../../store/object-store.ts';
import type { ImageRecord } from '../record/image.ts';
import { lookAtRecord, lookAtVersion, recordFolder } from '../record/image-records.ts';
import { MAX_RECORD_BYTES, tooLarge, versionKey } from '../record/records.ts';
import {
  isUnreadable,
  type OnUnreadable,
  type UnreadableRecord,
  unreadableRecord,
} from '../record/unreadable.ts';
import type { CachedRecord, RecordCache } from './record-cache.ts';
import { type NewestVersion, newestVersions } from './walk-images.ts';

export interface ListRecordsOptions extends CallOptions {
  cache?: RecordCache | undefined;
  /** Is given each record that cannot be read and is left out; it is raised if this is left out. */
  onUnreadable?: OnUnreadable | undefined;
}

/** Groups of images (by the first two digits of their ids) at work at once, and reads in each. */
const GROUPS_AT_ONCE = 16;
const READS_IN_GROUP = 8;
/** So that a registry of any size is taken in pieces: images, and bytes of their records. */
const MAX_GROUP = 1000;
const MAX_GROUP_BYTES = 4 * MAX_RECORD_BYTES;

/**
 * A few at a time, in the order of the ids. What it holds at once are a few groups of records, whatever the number
 * of images and whatever others have written; deleted ones are among them. An image whose newest version cannot be read
 * is left out, also where an older one can be.
 */
export async function* listRecords(
  store: ObjectStore,
  { cache, onUnreadable = raise, signal }: ListRecordsOptions = {},
): AsyncGenerator<ImageRecord[]> {
  const options = { signal, onUnreadable };
  const isLarge = cache?.isLarge() ?? false;
  const groups = groupVersions(store, { signal, isLarge });
  yield* mapBounded(groups, GROUPS_AT_ONCE, (group) =>
    cache === undefined ? readAll(store, group, options) : readNew(store, group, cache, options),
  );
}

function raise(error: Error): never {
  throw error;
}

interface ReadOptions extends CallOptions {
  onUnreadable: OnUnreadable;
}

interface Group {
  shard: string;
  versions: NewestVersion[];
  /** Of the records, as they were listed. */
  bytes: number;
  /** False where the group is a piece of its shard. */
  isWhole: boolean;
}

async function* groupVersions(
  store: ObjectStore,
  options: CallOptions & { isLarge: boolean },
): AsyncGenerator<Group> {
  let group: Group | undefined;
  for await (const newest of newestVersions(store, options)) {
    const shard = newest.id.slice(0, 2);
    // One that is too large is not read.
    const bytes = newest.size > MAX_RECORD_BYTES ? 0 : newest.size;
    if (group !== undefined && group.shard === shard && hasRoom(group, bytes)) {
      group.versions.push(newest);
      group.bytes += bytes;
      continue;
    }
    const isPiece: boolean = group !== undefined && group.shard === shard;
    if (group !== undefined) yield isPiece ? { ...group, isWhole: false } : group;
    group = { shard, versions: [newest], bytes, isWhole: !isPiece };
  }
  if (group !== undefined) yield group;
}

function hasRoom({ versions, bytes }: Group, more: number): boolean {
  return versions.length < MAX_GROUP && bytes + more <= MAX_GROUP_BYTES;
}

async function readAll(
  store: ObjectStore,
  { versions }: Pick<Group, 'versions'>,
  { onUnreadable, signal }: ReadOptions,
): Promise<ImageRecord[]> {
  const found = new Map<string, ImageRecord | UnreadableRecord>();
  await eachBounded(versions, READS_IN_GROUP, async (newest) => {
    const record = await readOne(store, newest, { signal });
    if (record !== undefined) found.set(newest.id, record);
  });
  return versions.flatMap(({ id }) => {
    const record = found.get(id);
    if (record === undefined) return [];
    if (!isUnreadable(record)) return [record];
    onUnreadable(unreadableRecord(record));
    return [];
  });
}

async function readOne(
  store: ObjectStore,
  { id, version, size }: NewestVersion,
  options: CallOptions,
): Promise<ImageRecord | UnreadableRecord | undefined> {
  if (size > MAX_RECORD_BYTES)
    return { id, version, key: versionKey(recordFolder(id), version), problem: tooLarge() };
  // Pruned since the listing: there is a newer one, or the image is gone.
  return (
    (await lookAtVersion(store, id, version, options)) ?? (await lookAtRecord(store, id, options))
  );
}

async function readNew(
  store: ObjectStore,
  group: Group,
  cache: RecordCache,
  options: ReadOptions,
): Promise<ImageRecord[]> {
  const known = cache.read(group.shard);
  const isKnown = ({ id, stamp }: NewestVersion) => known.get(id)?.stamp === stamp;
  const versions = group.versions.filter((newest) => !isKnown(newest));
  const fresh = await readAll(store, { versions }, options);
  const read = new Map(fresh.map((record) => [record.id, record]));
  const records = group.versions.flatMap((newest): CachedRecord[] => {
    const record = isKnown(newest) ? known.get(newest.id)?.record : read.get(newest.id);
    return record === undefined ? [] : [{ stamp: newest.stamp, record }];
  });
  // A record that came newer than listed must not be kept under the stamp of the older one.
  const listed = new Map(group.versions.map(({ id, version }) => [id, version]));
  const kept = records.filter(({ record }) => listed.get(record.id) === record.version);
  const changed = versions.length > 0 || known.size > group.versions.length;
  if (changed && group.isWhole) cache.write(group.shard, kept);
  return records.map(({ record }) => record);
}
