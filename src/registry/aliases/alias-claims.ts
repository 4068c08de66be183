// Keeps an alias from being moved to an image that is deleted at the same time.
import { randomUUID } from 'node:crypto';
import { PublishError } from '../../core/errors.ts';
import type { CallOptions } from '../../store/object-info.ts';
import type { ObjectStore } from '../../store/object-store.ts';
import { imageFolder } from '../record/image-records.ts';
import { isAlias } from '../record/names.ts';
import { versionKey, versionOf } from '../record/records.ts';
import { isUnreadable, unreadableAlias } from '../record/unreadable.ts';
import { createMove, lookAtAlias } from './aliases.ts';

/** Below an image's folder: `claims/<uuid>/<alias>/<version>.json`. */
const CLAIMS = 'claims/';
/** After this time a claim has no effect, and its owner must not act on it any more. */
export const CLAIM_MS = 3600_000;

/** The intent to move an alias to an image. */
export interface Claim {
  key: string;
  /** On the clock of `performance.now()`. */
  at: number;
}

/**
 * Announces that this version of the alias will point to the image.
 *
 * Invariant: no alias points to an image that was deleted without force, and no alias is moved to an
 * image that is deleted already; for every order of the requests of any number of processes,
 * also if some of them die or stop at any request.
 *
 *     alias set                                    delete
 *     S1 the alias is at version v                 D1 the image leaves `active` (next record version)
 *     S2 create the claim on version v + 1         D2 list the claims; for each, create its version
 *     S3 the image is `active`, else give up          v + 1 of the alias as a copy of the newest one
 *     S4 create version v + 1 of the alias         D3 no alias points to the image, else D1 is undone
 *     S5 remove the claim                          D4 the image becomes `deleted` (next version)
 *
 * If S3 comes after D1, nothing is moved. Otherwise S2 comes before D2. Then D2 finds the claim, and
 * of S4 and D2 one creates version v + 1; or the claim is removed already, so S4 is made. Either the
 * alias is not moved, or D3 sees that it is. D1 and D4 are create-only versions of one record, so a
 * change of it in between (a reactivation, another delete) makes the delete look again.
 *
 * A process that dies leaves, of `alias set`, at most a claim, which the next delete settles and `gc`
 * removes; of `delete`, an image that is deactivated, which `delete` or `reactivate` ends.
 */
export async function claimImage(
  store: ObjectStore,
  { alias, version, imageId }: { alias: string; version: number; imageId: string },
  options: CallOptions,
): Promise<Claim> {
  const at = performance.now();
  const key = versionKey(`${claimFolder(imageId)}${randomUUID()}/${alias}/`, version);
  const text = JSON.stringify({ alias, version, created_at: new Date().toISOString() });
  await store.create(key, Buffer.from(`${text}\n`), {
    ...options,
    contentType: 'application/json',
  });
  return { key, at };
}

/** True if `gc` may have removed the claim since. */
export function isExpired({ at }: Claim): boolean {
  return performance.now() - at > CLAIM_MS / 2;
}

/** Removes the claim, also after the signal has fired. One that stays is harmless until `gc` removes it. */
export async function endClaim(store: ObjectStore, { key }: Claim): Promise<void> {
  try {
    await store.remove([key]);
  } catch (error) {
    // A user may have the right to write and none to remove.
    if (!(error instanceof PublishError)) throw error;
  }
}

/**
 * Prevents that a claim on the image leads to a move, by creating the claimed version itself: a copy
 * of the alias's newest version.
 * @throws REGISTRY if such an alias cannot be read
 */
export async function fenceClaims(
  store: ObjectStore,
  imageId: string,
  options: CallOptions,
): Promise<void> {
  for await (const { key } of store.list(claimFolder(imageId), options)) {
    const claimed = claimIn(key);
    if (claimed === undefined) continue;
    const { alias, version } = claimed;
    const found = await lookAtAlias(store, alias, options);
    if ((found?.version ?? 0) >= version) continue;
    if (found !== undefined && isUnreadable(found)) throw unreadableAlias(found);
    try {
      const imageThere = found?.image_id ?? null;
      await createMove(store, { alias, after: version - 1, imageId: imageThere }, options);
    } catch (error) {
      // Made by its owner at this moment, or by another delete.
      if (!(error instanceof PublishError && error.code === 'PRECONDITION_LOST')) throw error;
    }
  }
}

/** Whether the key is that of a claim on an image. */
export function isClaim(key: string): boolean {
  return claimIn(key) !== undefined;
}

function claimFolder(imageId: string): string {
  return `${imageFolder(imageId)}${CLAIMS}`;
}

/** `images/<id>/claims/<uuid>/<alias>/<version>.json` */
function claimIn(key: string): { alias: string; version: number } | undefined {
  const [, , folder, , ...rest] = key.split('/');
  const version = versionOf(key);
  const alias = rest.slice(0, -1).join('/');
  if (`${folder}/` !== CLAIMS || version === undefined || version < 1) return undefined;
  return isAlias(alias) ? { alias, version } : undefined;
}
