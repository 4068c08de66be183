// Moves an alias to an active image, or removes it; of several clients at once one wins.
import { PublishError } from '../../core/errors.ts';
import type { CallOptions } from '../../store/object-info.ts';
import type { ObjectStore } from '../../store/object-store.ts';
import { assertActive } from '../record/image-records.ts';
import { listVersions, MAX_VERSION, versionKey } from '../record/records.ts';
import { isUnreadable, lastVersion } from '../record/unreadable.ts';
import { claimImage, endClaim, isExpired } from './alias-claims.ts';
import {
  type AliasRecord,
  aliasFolder,
  createMove,
  lookAtAlias,
  lostMove,
  noAlias,
} from './aliases.ts';

export interface MoveOptions extends CallOptions {
  /** Only if the alias still is at this version; 0 is an alias that was never set. */
  expectVersion?: number | undefined;
}

export interface RemoveAliasOptions extends MoveOptions {
  /** Removes the history too, if no version can follow the newest one. */
  force?: boolean | undefined;
}

/**
 * Points the alias to an active image. One that points there already gets no new version; one that
 * cannot be read is moved too. Nothing is retried: a client that loses meant another state.
 *
 * The image was not deleted while the alias was moved. It is not deleted (without force) while the
 * alias points to it: see alias-claims.ts for how.
 * @throws IMAGE_NOT_FOUND, IMAGE_STATUS (it is not active), PRECONDITION_LOST, USAGE, REGISTRY
 */
export async function pointAlias(
  store: ObjectStore,
  alias: string,
  imageId: string,
  { expectVersion, signal }: MoveOptions = {},
): Promise<AliasRecord> {
  const options = { signal };
  const found = await lookAtAlias(store, alias, options);
  // Checked before anything is written too: a missing image gets no claim.
  await assertActive(store, imageId, options);
  assertVersion(found, alias, expectVersion);
  if (found !== undefined && !isUnreadable(found) && found.image_id === imageId) return found;
  const after = found?.version ?? 0;
  const folder = aliasFolder(alias);
  if (after >= MAX_VERSION) throw lastVersion(versionKey(folder, after), store.url);
  const claim = await claimImage(store, { alias, version: after + 1, imageId }, options);
  let isOver = false;
  try {
    await assertActive(store, imageId, options);
    if (isExpired(claim)) throw lostMove(alias);
    const moved = await createMove(store, { alias, after, imageId }, options);
    isOver = true;
    return moved;
  } catch (error) {
    // NOTE: if the store gave no answer, the move may still happen; the claim must outlive that.
    isOver = error instanceof PublishError && KNOWN_ENDS.has(error.code);
    throw error;
  } finally {
    if (isOver) await endClaim(store, claim);
  }
}

/** Failures after which the move was not made, and will not be. */
const KNOWN_ENDS: ReadonlySet<string> = new Set([
  'PRECONDITION_LOST',
  'IMAGE_NOT_FOUND',
  'IMAGE_STATUS',
]);

/**
 * Takes the alias away: a next version that points nowhere. One that cannot be read is taken away as
 * well.
 * @throws IMAGE_NOT_FOUND (it was never set), PRECONDITION_LOST, REGISTRY (no version can follow)
 */
export async function removeAlias(
  store: ObjectStore,
  alias: string,
  { expectVersion, force = false, signal }: RemoveAliasOptions,
): Promise<AliasRecord> {
  const options = { signal };
  const found = await lookAtAlias(store, alias, options);
  if (found === undefined) throw await noAlias(store, alias, options);
  assertVersion(found, alias, expectVersion);
  if (!isUnreadable(found) && found.image_id === null) return found;
  const { version } = found;
  if (version >= MAX_VERSION && force) return removeHistory(store, alias, options);
  return createMove(store, { alias, after: version, imageId: null }, options);
}

/** Removes the newest version last: until then the alias points to its image. */
async function removeHistory(
  store: ObjectStore,
  alias: string,
  options: CallOptions,
): Promise<AliasRecord> {
  for (const version of await listVersions(store, aliasFolder(alias), options))
    await store.remove([versionKey(aliasFolder(alias), version)], options);
  return { alias, version: 0, image_id: null, created_at: new Date().toISOString() };
}

function assertVersion(
  found: { version: number } | undefined,
  alias: string,
  expected: number | undefined,
): void {
  if (expected !== undefined && (found?.version ?? 0) !== expected) throw lostMove(alias);
}
