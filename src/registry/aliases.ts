// Names that move: where each alias points, and has pointed.
import { PublishError } from '../errors.ts';
import { mapBounded } from './bounded.ts';
import { assertAlias, isAlias, isImageId } from './names.ts';
import type { CallOptions, ObjectStore } from './object-store.ts';
import { createVersion, readNewest, readVersion, versionOf } from './records.ts';

/** One move of an alias, as it is stored. `image_id` is null where the alias was taken away. */
export interface AliasRecord {
  alias: string;
  version: number;
  image_id: string | null;
  /** ISO 8601 in UTC. */
  created_at: string;
}

export interface MoveOptions extends CallOptions {
  /** Only if the alias still is at this version; 0 is an alias that was never set. */
  expectVersion?: number | undefined;
}

const ALIASES = 'aliases/';
const READS_AT_ONCE = 16;

export function aliasFolder(alias: string): string {
  return `${ALIASES}${alias}/`;
}

/** Where the alias points since its last move; `undefined` where it was never set. @throws USAGE */
export async function readAlias(
  store: ObjectStore,
  alias: string,
  options: CallOptions = {},
): Promise<AliasRecord | undefined> {
  assertAlias(alias);
  const newest = await readNewest(store, aliasFolder(alias), options);
  return newest === undefined ? undefined : validateAlias(newest.value, newest.key);
}

/** One move of the alias; `undefined` where it is not there. */
export async function readAliasVersion(
  store: ObjectStore,
  alias: string,
  version: number,
  options: CallOptions = {},
): Promise<AliasRecord | undefined> {
  const found = await readVersion(store, aliasFolder(alias), version, options);
  return found === undefined ? undefined : validateAlias(found.value, found.key);
}

/**
 * Moves the alias. One that points there already is left as it is. Of those who move it at the
 * same time exactly one wins; nothing is tried again, since the loser meant another state.
 * @throws PRECONDITION_LOST, USAGE
 */
export async function moveAlias(
  store: ObjectStore,
  alias: string,
  imageId: string | null,
  options: MoveOptions = {},
): Promise<AliasRecord> {
  const current = await readAlias(store, alias, options);
  const { expectVersion } = options;
  const version = current?.version ?? 0;
  if (expectVersion !== undefined && version !== expectVersion) throw lost(alias);
  if (current !== undefined && current.image_id === imageId) return current;
  const next = {
    alias,
    version: version + 1,
    image_id: imageId,
    created_at: new Date().toISOString(),
  };
  try {
    await createVersion(store, aliasFolder(alias), next.version, next, options);
    return next;
  } catch (error) {
    if (error instanceof PublishError && error.code === 'PRECONDITION_LOST')
      throw lost(alias, error);
    throw error;
  }
}

/** The newest move of every alias, in the order of their keys; those taken away are left out. */
export async function* listAliasRecords(
  store: ObjectStore,
  options: CallOptions = {},
): AsyncGenerator<AliasRecord> {
  const found = mapBounded(newestVersions(store, options), READS_AT_ONCE, async (newest) => {
    const read = await readVersion(store, aliasFolder(newest.alias), newest.version, options);
    return read === undefined
      ? readAlias(store, newest.alias, options)
      : validateAlias(read.value, read.key);
  });
  for await (const record of found) {
    if (record !== undefined && record.image_id !== null) yield record;
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
    if (version !== undefined && isAlias(alias)) newest.set(alias, version);
  }
  for (const [alias, version] of newest) yield { alias, version };
}

function validateAlias(value: unknown, key: string): AliasRecord {
  const record = (typeof value === 'object' && value !== null ? value : {}) as Partial<AliasRecord>;
  const { alias, version, image_id, created_at } = record;
  const isTarget = image_id === null || (typeof image_id === 'string' && isImageId(image_id));
  const isRest =
    typeof alias === 'string' && typeof version === 'number' && typeof created_at === 'string';
  const atKey = key.startsWith(`${ALIASES}${alias}/`) && version === versionOf(key);
  if (isTarget && isRest && atKey) return { alias, version, image_id, created_at };
  const message = `The alias record ${key} cannot be used: it is not of the right shape.`;
  throw new PublishError('REGISTRY', message, { step: 'alias' });
}

export function noAlias(alias: string, url: string): PublishError {
  const message = `There is no alias ${alias} in ${url}; see what there is with "alias list".`;
  return new PublishError('IMAGE_NOT_FOUND', message, { step: 'alias' });
}

function lost(alias: string, cause?: unknown): PublishError {
  const message = `Alias ${alias} was moved by somebody else; look where it points now and decide anew.`;
  return new PublishError('PRECONDITION_LOST', message, { step: 'alias', cause });
}
