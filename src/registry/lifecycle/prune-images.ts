// Old images go, by a retention policy; protected ones and those an alias points to never do.
import { PublishError } from '../../core/errors.ts';
import type { ObjectStore } from '../../store/object-store.ts';
import { listAliasRecords } from '../aliases/aliases.ts';
import { type ListRecordsOptions, listRecords } from '../catalog/list-records.ts';
import { readStoredTimes } from '../catalog/stored-times.ts';
import type { ImageRecord } from '../record/image.ts';
import { deleteImage } from './delete-image.ts';
import {
  applyRetention,
  assertPolicy,
  type Kept,
  lineOf,
  type RetentionPolicy,
} from './retention.ts';

export interface PruneOptions extends ListRecordsOptions {
  /** Only images of this name. */
  name?: string | undefined;
  /** Only the images that this one is in line with. */
  like?: ImageRecord | undefined;
  /** Says what would go, and removes nothing. */
  dryRun?: boolean | undefined;
}

/** The result for one image; of a dry run, the result that a run would have. */
export interface Pruned {
  image: ImageRecord;
  kept: boolean;
  /** Why it is kept; empty if it is deleted. */
  reasons: string[];
  /** Its date cannot be true: it takes no place of the policy, and is kept. */
  wrongDate: boolean;
}

/**
 * Applies the policy to each line of active images (see lineOf), and deletes what it does not keep.
 * Calls `onUnreadable` for each record and alias that cannot be read: an unreadable record keeps its
 * own image, an unreadable alias keeps every image.
 * @throws USAGE if no rule keeps anything
 */
export async function pruneImages(
  store: ObjectStore,
  policy: RetentionPolicy,
  options: PruneOptions = {},
): Promise<Pruned[]> {
  assertPolicy(policy);
  const lines = await readLines(store, options);
  const { aliased, unreadable } = await readAliased(store, options);
  const pruned: Pruned[] = [];
  for (const { image, reasons, wrongDate } of await retain(store, lines, policy, options)) {
    const alias = aliased.get(image.id);
    const why = [
      ...reasons,
      ...(image.protected ? ['protected'] : []),
      ...(alias === undefined ? [] : [`alias ${alias}`]),
      ...(unreadable ? ['an alias that cannot be read may point to it'] : []),
      ...(image.id === options.like?.id ? ['the new one'] : []),
    ];
    const isKept = why.length > 0 || options.dryRun === true;
    const held = isKept ? undefined : await remove(store, image, options);
    if (held !== undefined) why.push(held);
    pruned.push({ image, kept: why.length > 0, reasons: why, wrongDate });
  }
  return pruned;
}

/** Reads the store's times only if an image would be deleted. */
async function retain(
  store: ObjectStore,
  lines: readonly ImageRecord[][],
  policy: RetentionPolicy,
  { signal }: PruneOptions,
): Promise<Kept[]> {
  const losing = lines.filter((line) =>
    applyRetention(line, policy).some(({ reasons }) => reasons.length === 0),
  );
  const ids = new Set(losing.flat().map(({ id }) => id));
  const storedAt = await readStoredTimes(store, ids, { signal });
  return lines.flatMap((line) => applyRetention(line, policy, storedAt));
}

/** Damaged and unfinished images are in no line: they neither count nor go. */
async function readLines(store: ObjectStore, options: PruneOptions): Promise<ImageRecord[][]> {
  const lines = new Map<string, ImageRecord[]>();
  const only = options.like === undefined ? undefined : lineOf(options.like);
  const isMeant = ({ status, name }: ImageRecord) =>
    status === 'active' && (options.name === undefined || name === options.name);
  for await (const some of listRecords(store, options)) {
    for (const record of some.filter(isMeant)) {
      const line = lineOf(record);
      if (only !== undefined && line !== only) continue;
      lines.set(line, [...(lines.get(line) ?? []), record]);
    }
  }
  return [...lines.values()];
}

async function readAliased(
  store: ObjectStore,
  { onUnreadable, signal }: PruneOptions,
): Promise<{ aliased: Map<string, string>; unreadable: boolean }> {
  const aliased = new Map<string, string>();
  let unreadable = false;
  const take = (error: PublishError) => {
    unreadable = true;
    if (onUnreadable === undefined) throw error;
    onUnreadable(error);
  };
  for await (const { alias, image_id } of listAliasRecords(store, { signal, onUnreadable: take }))
    if (image_id !== null) aliased.set(image_id, alias);
  return { aliased, unreadable };
}

/** Deletes the image, or returns why it is kept: it was protected, aliased or in use meanwhile. */
async function remove(
  store: ObjectStore,
  { id }: ImageRecord,
  { signal }: PruneOptions,
): Promise<string | undefined> {
  try {
    await deleteImage(store, id, { signal });
    return undefined;
  } catch (error) {
    if (!(error instanceof PublishError)) throw error;
    if (error.code === 'IMAGE_NOT_FOUND') return undefined;
    if (error.code !== 'IMAGE_STATUS') throw error;
    return 'protected, aliased or used by a guest meanwhile';
  }
}
