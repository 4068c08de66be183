// The methods of a store that only some stores have.
import type { ObjectStore } from '../object-store.ts';

/** Returns the optional methods that this store has, unchanged. */
export function optionalMethods(store: ObjectStore): Partial<ObjectStore> {
  const { isVacant, makePlace, moveIn, prepare, presign, followLink, serverTime } = store;
  const { listStrays, removeStray, findGuests } = store;
  const links = { presign, followLink };
  const methods = {
    isVacant,
    makePlace,
    moveIn,
    prepare,
    serverTime,
    listStrays,
    removeStray,
    findGuests,
    ...links,
  };
  const there = Object.entries(methods).filter(([, method]) => method !== undefined);
  return Object.fromEntries(there.map(([name, method]) => [name, method?.bind(store as never)]));
}
