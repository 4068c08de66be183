// Records and aliases that cannot be read: their errors and hints. Pure.
import { PublishError } from '../../core/errors.ts';

/** The newest version of an image's record, which no reader understands. */
export interface UnreadableRecord {
  id: string;
  version: number;
  key: string;
  /** For example `it is no JSON (…)`. */
  problem: string;
  /** A later version of this program wrote it. */
  isNewer?: boolean;
}

/** The newest version of an alias, which no reader understands: it may point to any image. */
export interface UnreadableAlias {
  alias: string;
  version: number;
  key: string;
  problem: string;
  isNewer?: boolean;
}

/** Called for each record that a walk skips, with the error that reading it alone raises. */
export type OnUnreadable = (error: PublishError) => void;

/** Returns whether a record or an alias could not be read. */
export function isUnreadable<T extends object, U extends UnreadableRecord | UnreadableAlias>(
  found: T | U,
): found is U {
  return 'problem' in found;
}

const NEWER_HINT = 'use a later version of virt-publish';

/**
 * NOTE: an older version that can be read is no substitute. The content of the newest one is unknown:
 * it may have deactivated or deleted the image.
 */
export function unreadableRecord({ id, key, problem, isNewer }: UnreadableRecord): PublishError {
  const hint = `${isNewer ? NEWER_HINT : 'restore that object'}, or remove the image with: virt-publish delete ${id} --force`;
  const message = `the record of image ${id} cannot be read: ${key}: ${problem}; nothing of the image is used, changed or removed`;
  return new PublishError('REGISTRY', message, { step: 'registry', hint });
}

export function unreadableAlias({ alias, key, problem, isNewer }: UnreadableAlias): PublishError {
  const hint = `${isNewer ? `${NEWER_HINT}, or ` : ''}move it with: virt-publish alias set ${alias} IMAGE, or remove it with: virt-publish alias rm ${alias}`;
  const message = `alias ${alias} cannot be read: ${key}: ${problem}; it may point to any image`;
  return new PublishError('REGISTRY', message, { step: 'alias', hint });
}

/** `key`: of the version that no other can follow. */
export function lastVersion(key: string, url: string): PublishError {
  const [kind, ...rest] = key.split('/');
  const [id = ''] = rest;
  const remove =
    kind === 'images'
      ? `virt-publish delete ${id} --force`
      : `virt-publish alias rm ${rest.slice(0, -1).join('/')} --force`;
  const message = `no version can follow ${key} in ${url}: it has the highest possible number, out of turn`;
  const hint = `remove that object if it is wrong, or remove everything with: ${remove}`;
  return new PublishError('REGISTRY', message, { step: 'registry', hint });
}
