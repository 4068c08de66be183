// Aliases: names that move from image to image, one version for each move.
import { mapBounded } from '../../core/bounded.ts';
import { closeNames, didYouMean } from '../../core/close-names.ts';
import { PublishError } from '../../core/errors.ts';
import type { CallOptions } from '../../store/object-info.ts';
import type { ObjectStore } from '../../store/object-store.ts';
import { assertAlias, describe, isAlias, isImageId } from '../record/names.ts';
import {
  createVersion,
  readNewest,
  readVersion,
  type Versioned,
  versionOf,
} from '../record/records.ts';
import {
  isUnreadable,
  type OnUnreadable,
  type UnreadableAlias,
  unreadableAlias,
} from '../record/unreadable.ts';

/** One move of an alias, as it is stored. `image_id` is null if the alias was taken away. */
export interface AliasRecord {
  alias: string;
  version: number;
  image_id: string | null;
  /** ISO 8601 in UTC. */
  created_at: string;
}

export const ALIASES = 'aliases/';
const READS_AT_ONCE = 16;

export function aliasFolder(alias: string): string {
  return `${ALIASES}${alias}/`;
}

/**
 * Returns the last move of the alias; `undefined` if it was never set.
 * @throws USAGE; REGISTRY if it cannot be read, see unreadableAlias
 */
export async function readAlias(
  store: ObjectStore,
  alias: string,
  options: CallOptions = {},
): Promise<AliasRecord | undefined> {
  const found = await lookAtAlias(store, alias, options);
  if (found !== undefined && isUnreadable(found)) throw unreadableAlias(found);
  return found;
}

/** The last move of the alias, readable or not; `undefined` if it was never set. @throws USAGE */
export async function lookAtAlias(
  store: ObjectStore,
  alias: string,
  options: CallOptions = {},
): Promise<AliasRecord | UnreadableAlias | undefined> {
  assertAlias(alias);
  const newest = await readNewest(store, aliasFolder(alias), options);
  return newest && aliasIn(newest, alias);
}

/** One move of the alias, readable or not; `undefined` if it does not exist. */
export async function lookAtAliasVersion(
  store: ObjectStore,
  alias: string,
  version: number,
  options: CallOptions = {},
): Promise<AliasRecord | UnreadableAlias | undefined> {
  const found = await readVersion(store, aliasFolder(alias), version, options);
  return found && aliasIn(found, alias);
}

/**
 * Writes the version after `after`, wherever it points; `pointAlias` and `removeAlias` move an alias.
 * @throws PRECONDITION_LOST, REGISTRY (no version can follow)
 */
export async function createMove(
  store: ObjectStore,
  { alias, after, imageId }: { alias: string; after: number; imageId: string | null },
  options: CallOptions,
): Promise<AliasRecord> {
  const created_at = new Date().toISOString();
  const next = { alias, version: after + 1, image_id: imageId, created_at };
  try {
    await createVersion(store, aliasFolder(alias), next.version, next, options);
    return next;
  } catch (error) {
    const isLost = error instanceof PublishError && error.code === 'PRECONDITION_LOST';
    throw isLost ? lostMove(alias, error) : error;
  }
}

/**
 * The newest move of every alias, in the order of their keys; removed aliases are left out. Calls
 * `onUnreadable` for each alias that cannot be read; without it, throws the error.
 */
export async function* listAliasRecords(
  store: ObjectStore,
  { onUnreadable, signal }: CallOptions & { onUnreadable?: OnUnreadable | undefined } = {},
): AsyncGenerator<AliasRecord> {
  const options = { signal };
  const found = mapBounded(
    newestVersions(store, options),
    READS_AT_ONCE,
    async ({ alias, version }) =>
      (await lookAtAliasVersion(store, alias, version, options)) ??
      (await lookAtAlias(store, alias, options)),
  );
  for await (const record of found) {
    if (record === undefined) continue;
    if (!isUnreadable(record)) {
      if (record.image_id !== null) yield record;
      continue;
    }
    if (onUnreadable === undefined) throw unreadableAlias(record);
    onUnreadable(unreadableAlias(record));
  }
}

/**
 * The highest version of every alias. A map, since the keys of one alias need not follow each
 * other: `web/00000001/…` sorts between two versions of `web`.
 */
async function* newestVersions(
  store: ObjectStore,
  options: CallOptions,
): AsyncGenerator<{ alias: string; version: number }> {
  const newest = new Map<string, number>();
  for await (const { key } of store.list(ALIASES, options)) {
    const version = versionOf(key);
    const alias = key.slice(ALIASES.length, key.lastIndexOf('/'));
    if (version !== undefined && isAlias(alias))
      newest.set(alias, Math.max(version, newest.get(alias) ?? 0));
  }
  for (const [alias, version] of newest) yield { alias, version };
}

/** Returns the move that was read, or its problem; compares alias and version with its key. */
function aliasIn(read: Versioned, alias: string): AliasRecord | UnreadableAlias {
  const { key, version } = read;
  const bad = (problem: string) => ({ alias, version, key, problem });
  if (read.problem !== undefined)
    return { ...bad(read.problem), ...(read.isNewer ? { isNewer: true } : {}) };
  const { value } = read;
  const record = (typeof value === 'object' && value !== null ? value : {}) as Partial<AliasRecord>;
  const { image_id, created_at } = record;
  if (record.alias !== alias || record.version !== version) {
    return bad(
      `it says that it is version ${describe(record.version)} of ${describe(record.alias)}`,
    );
  }
  if (!(image_id === null || (typeof image_id === 'string' && isImageId(image_id))))
    return bad(`image_id is ${describe(image_id)}`);
  if (typeof created_at !== 'string' || Number.isNaN(Date.parse(created_at)))
    return bad(`created_at is ${describe(created_at)}`);
  return { alias, version, image_id, created_at };
}

/** The error for an alias that was never set, with the names that it may be meant for. */
export async function noAlias(
  store: ObjectStore,
  alias: string,
  options: CallOptions,
): Promise<PublishError> {
  const near = closeNames(alias, await aliasNames(store, options));
  const hint = didYouMean(near) ?? 'list the aliases with: virt-publish alias list';
  const message = `there is no alias ${alias} in ${store.url}`;
  return new PublishError('IMAGE_NOT_FOUND', message, { step: 'alias', hint });
}

/** Every alias that points somewhere; those that cannot be read are left out. */
export async function aliasNames(store: ObjectStore, { signal }: CallOptions): Promise<string[]> {
  const names: string[] = [];
  const onUnreadable = () => undefined;
  for await (const { alias } of listAliasRecords(store, { signal, onUnreadable }))
    names.push(alias);
  return names;
}

export function lostMove(alias: string, cause?: unknown): PublishError {
  const message = `alias ${alias} was moved by another client`;
  const hint = `look where it points now (virt-publish alias log ${alias}) and move it again if that is right`;
  return new PublishError('PRECONDITION_LOST', message, { step: 'alias', cause, hint });
}
