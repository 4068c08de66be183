// Checks whether a bucket or directory has a registry, and creates one.
import { PublishError } from '../core/errors.ts';
import type { CallOptions } from '../store/object-info.ts';
import type { ObjectStore } from '../store/object-store.ts';
import { ALIASES } from './aliases/aliases.ts';
import { IMAGES } from './catalog/walk-images.ts';

/** True if the place has an image or an alias, even one that was deleted: their last versions stay. */
export async function holdsRegistry(store: ObjectStore, options: CallOptions): Promise<boolean> {
  for (const prefix of [IMAGES, ALIASES])
    for await (const page of store.listPages(prefix, { ...options, limit: 1 }))
      if (page.length > 0) return true;
  return false;
}

/**
 * Returns true if the place holds a registry, false if it is a bucket with nothing in it at all.
 *
 * NOTE: in such a bucket no prefix can be the wrong one. An empty directory may be the mount point of a
 * share is not mounted.
 * @throws REGISTRY if it is any other place without a registry
 */
export async function assertRegistry(store: ObjectStore, options: CallOptions): Promise<boolean> {
  if (await holdsRegistry(store, options)) return true;
  if (await store.isVacant?.(options)) return false;
  const message = `there is no registry at ${store.url}: nothing is published there`;
  const hint = 'correct --registry, or create it with a first snapshot, import or copy';
  throw new PublishError('REGISTRY', message, { step: 'registry', hint });
}

/** Creates the registry if the place has none; resolves to true then. @throws REGISTRY */
export async function makeRegistry(store: ObjectStore, options: CallOptions): Promise<boolean> {
  if (await holdsRegistry(store, options)) return false;
  await store.makePlace?.(options);
  return true;
}
