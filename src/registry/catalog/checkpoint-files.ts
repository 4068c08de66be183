// The keys of catalog checkpoints: `catalog/<n>.json.gz`, the highest n is the newest.
import type { CallOptions, ObjectInfo } from '../../store/object-info.ts';
import type { ObjectStore } from '../../store/object-store.ts';

const CATALOG = 'catalog/';
const KEY = /^catalog\/(\d{8})\.json\.gz$/;
const MAX_NUMBER = 99_999_999;

/** Returns all checkpoints, oldest first. @throws REGISTRY */
export async function findCheckpoints(
  store: ObjectStore,
  options: CallOptions,
): Promise<ObjectInfo[]> {
  const found: ObjectInfo[] = [];
  for await (const page of store.listPages(CATALOG, options))
    found.push(...page.filter(({ key }) => KEY.test(key)));
  return found;
}

/** Returns the key that follows; `undefined` after the last possible one. */
export function nextCheckpoint(newest: string | undefined): string | undefined {
  const number = Number(KEY.exec(newest ?? '')?.[1] ?? 0) + 1;
  return number > MAX_NUMBER ? undefined : `${CATALOG}${String(number).padStart(8, '0')}.json.gz`;
}
