// The history of an alias, and the way back in it.
import { mapBounded } from '../../core/bounded.ts';
import { PublishError } from '../../core/errors.ts';
import type { CallOptions } from '../../store/object-info.ts';
import type { ObjectStore } from '../../store/object-store.ts';
import { assertAlias } from '../record/names.ts';
import { listVersions } from '../record/records.ts';
import { isUnreadable, type OnUnreadable, unreadableAlias } from '../record/unreadable.ts';
import { type AliasRecord, aliasFolder, lookAtAliasVersion, noAlias } from './aliases.ts';
import { pointAlias } from './move-alias.ts';

const READS_AT_ONCE = 8;

export interface AliasLogOptions extends CallOptions {
  /** Called for each move that cannot be read; by default the error is thrown. */
  onUnreadable?: OnUnreadable | undefined;
}

/** Every move of the alias, oldest first; empty if it was never set. @throws USAGE */
export async function readAliasLog(
  store: ObjectStore,
  alias: string,
  { onUnreadable, signal }: AliasLogOptions = {},
): Promise<AliasRecord[]> {
  const options = { signal };
  assertAlias(alias);
  const versions = await listVersions(store, aliasFolder(alias), options);
  const log: AliasRecord[] = [];
  const reads = mapBounded(versions, READS_AT_ONCE, (version) =>
    lookAtAliasVersion(store, alias, version, options),
  );
  for await (const record of reads) {
    if (record === undefined) continue;
    if (!isUnreadable(record)) log.push(record);
    else if (onUnreadable === undefined) throw unreadableAlias(record);
    else onUnreadable(unreadableAlias(record));
  }
  return log;
}

export interface RollbackOptions extends AliasLogOptions {
  /** The version whose image the alias gets; by default that before the current image. */
  toVersion?: number | undefined;
}

/**
 * Moves the alias back: creates a next version with the image of an earlier one. If its last move
 * cannot be read, `toVersion` is required.
 * @throws IMAGE_NOT_FOUND (no such alias, version or image), IMAGE_STATUS, PRECONDITION_LOST
 */
export async function rollbackAlias(
  store: ObjectStore,
  alias: string,
  { toVersion, onUnreadable, signal }: RollbackOptions = {},
): Promise<AliasRecord> {
  const versions = await listVersions(store, aliasFolder(alias), { signal });
  const newest = versions.at(-1);
  if (newest === undefined) throw await noAlias(store, alias, { signal });
  let last: PublishError | undefined;
  const log = await readAliasLog(store, alias, {
    signal,
    onUnreadable: (error) => {
      last = error;
      onUnreadable?.(error);
    },
  });
  const current = log.at(-1);
  if (toVersion === undefined && last !== undefined && current?.version !== newest) throw last;
  const target = log.findLast(({ version, image_id }) =>
    toVersion === undefined
      ? image_id !== null && image_id !== current?.image_id
      : version === toVersion,
  );
  if (target === undefined || target.image_id === null) {
    const which = toVersion === undefined ? 'before' : `in version ${toVersion}`;
    throw new PublishError('IMAGE_NOT_FOUND', `alias ${alias} pointed to no other image ${which}`, {
      step: 'alias',
      hint: `choose a version from: virt-publish alias log ${alias}`,
    });
  }
  return pointAlias(store, alias, target.image_id, { signal, expectVersion: newest });
}
