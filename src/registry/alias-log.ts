// The history of an alias, and the way back in it.
import { PublishError } from '../errors.ts';
import { type AliasRecord, aliasFolder, moveAlias, noAlias, readAliasVersion } from './aliases.ts';
import { mapBounded } from './bounded.ts';
import { assertActive } from './image-records.ts';
import { assertAlias } from './names.ts';
import type { CallOptions, ObjectStore } from './object-store.ts';
import { listVersions } from './records.ts';

const READS_AT_ONCE = 8;

/** Every move of the alias, oldest first; empty where it was never set. @throws USAGE */
export async function readAliasLog(
  store: ObjectStore,
  alias: string,
  options: CallOptions = {},
): Promise<AliasRecord[]> {
  assertAlias(alias);
  const versions = await listVersions(store, aliasFolder(alias), options);
  const log: AliasRecord[] = [];
  const reads = mapBounded(versions, READS_AT_ONCE, (version) =>
    readAliasVersion(store, alias, version, options),
  );
  for await (const record of reads) if (record !== undefined) log.push(record);
  return log;
}

export interface RollbackOptions extends CallOptions {
  /** To where it pointed since this version; else to the image it pointed to before the present one. */
  toVersion?: number | undefined;
}

/**
 * Moves the alias back: a next version that points to where an earlier one did.
 * @throws IMAGE_NOT_FOUND (no such alias, version or image), IMAGE_STATUS, PRECONDITION_LOST
 */
export async function rollbackAlias(
  store: ObjectStore,
  alias: string,
  { toVersion, signal }: RollbackOptions = {},
): Promise<AliasRecord> {
  const options = { signal };
  const log = await readAliasLog(store, alias, options);
  const current = log.at(-1);
  if (current === undefined) throw noAlias(alias, store.url);
  const target = log.findLast(({ version, image_id }) =>
    toVersion === undefined
      ? image_id !== null && image_id !== current.image_id
      : version === toVersion,
  );
  if (target === undefined || target.image_id === null) {
    const which = toVersion === undefined ? 'before' : `in version ${toVersion}`;
    throw nowhere(`Alias ${alias} pointed to no other image ${which}; see "alias log ${alias}".`);
  }
  await assertActive(store, target.image_id, options);
  return moveAlias(store, alias, target.image_id, { signal, expectVersion: current.version });
}

function nowhere(message: string): PublishError {
  return new PublishError('IMAGE_NOT_FOUND', message, { step: 'alias' });
}
