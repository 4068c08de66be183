// The newest record of every image, read a few at once, and only where it is not known already.
import { eachBounded, mapBounded } from './bounded.ts';
import type { ImageRecord } from './image.ts';
import { readRecord, readRecordVersion } from './image-records.ts';
import type { CallOptions, ObjectStore } from './object-store.ts';
import type { CachedRecord, RecordCache } from './record-cache.ts';
import { type NewestVersion, newestVersions } from './walk-images.ts';

export interface ListRecordsOptions extends CallOptions {
  cache?: RecordCache | undefined;
}

/** Groups of images (by the first two digits of their ids) at work at once, and reads in each. */
const GROUPS_AT_ONCE = 16;
const READS_IN_GROUP = 8;
/** So that a registry of any size is taken in pieces. */
const MAX_GROUP = 1000;

/**
 * A few at a time, in the order of the ids. What it holds at once are a few groups of records, whatever the number
 * of images; deleted ones are among them.
 */
export async function* listRecords(
  store: ObjectStore,
  { cache, signal }: ListRecordsOptions = {},
): AsyncGenerator<ImageRecord[]> {
  const options = { signal };
  const isLarge = cache?.isLarge() ?? false;
  const groups = groupVersions(store, { ...options, isLarge });
  yield* mapBounded(groups, GROUPS_AT_ONCE, (group) =>
    cache === undefined ? readAll(store, group, options) : readNew(store, group, cache, options),
  );
}

interface Group {
  shard: string;
  versions: NewestVersion[];
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
    if (group !== undefined && group.shard === shard && group.versions.length < MAX_GROUP) {
      group.versions.push(newest);
      continue;
    }
    const isPiece: boolean = group !== undefined && group.shard === shard;
    if (group !== undefined) yield isPiece ? { ...group, isWhole: false } : group;
    group = { shard, versions: [newest], isWhole: !isPiece };
  }
  if (group !== undefined) yield group;
}

async function readAll(
  store: ObjectStore,
  { versions }: Group,
  options: CallOptions,
): Promise<ImageRecord[]> {
  const found = new Map<string, ImageRecord>();
  await eachBounded(versions, READS_IN_GROUP, async ({ id, version }) => {
    // Pruned since the listing: there is a newer one, or the image is gone.
    const record =
      (await readRecordVersion(store, id, version, options)) ??
      (await readRecord(store, id, options));
    if (record !== undefined) found.set(id, record);
  });
  return versions.flatMap(({ id }) => found.get(id) ?? []);
}

async function readNew(
  store: ObjectStore,
  group: Group,
  cache: RecordCache,
  options: CallOptions,
): Promise<ImageRecord[]> {
  const known = cache.read(group.shard);
  const isKnown = ({ id, stamp }: NewestVersion) => known.get(id)?.stamp === stamp;
  const versions = group.versions.filter((newest) => !isKnown(newest));
  const fresh = await readAll(store, { ...group, versions }, options);
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
