// Selects, sorts and pages the images that a query asks for. Pure.
import type { ImageRecord } from '../record/image.ts';
import { usage } from '../record/names.ts';
import { QueryMisses } from './query-misses.ts';
import type { ListQuery, SortKey, SortOrder } from './query-parts.ts';
import { isShown, partsOf, type QueryPart, SORT_KEYS, sizeOf } from './query-parts.ts';
import { ShortIds } from './short-ids.ts';

export function matchesQuery(
  image: ImageRecord,
  query: ListQuery,
  parts: readonly QueryPart[] = partsOf(query),
): boolean {
  return isShown(image, query) && parts.every((part) => part.passes(image));
}

/** One page of images. */
export interface ImagePage {
  images: ImageRecord[];
  /** The id of the last image of this page, at which the next page begins; null on the last page. */
  marker: string | null;
  /** How many characters of an id distinguish it from all others of the registry. */
  idLength: number;
  /** If the page is empty: which part of the query no image has, such as `no image has the tag "x"`. */
  miss: string | null;
}

/** How many unsorted records are added before the next sort: that sort is then cheap. */
const SPARE = 1000;

/**
 * Returns one page. With a limit it keeps at most `SPARE` records more than the page in memory, and
 * one batch of `records`. `after`: the last image of the previous page, which may be deleted by now.
 */
export async function selectPage(
  records: AsyncIterable<readonly ImageRecord[]>,
  query: ListQuery,
  after?: ImageRecord,
): Promise<ImagePage> {
  const compare = comparer(query.sort ?? [{ key: 'created_at', descending: true }]);
  const parts = partsOf(query);
  const [ids, misses] = [new ShortIds(), new QueryMisses(query, parts)];
  // One more than asked for, to know whether there is more.
  const wanted = query.limit === undefined ? Infinity : query.limit + 1;
  let found: ImageRecord[] = [];
  for await (const some of records) {
    for (const record of some) {
      ids.take(record.id);
      if (found.length === 0) misses.take(record);
      if (!matchesQuery(record, query, parts)) continue;
      if (after === undefined || compare(record, after) > 0) found.push(record);
    }
    if (found.length >= wanted + SPARE) found = found.sort(compare).slice(0, wanted);
  }
  found.sort(compare);
  const idLength = ids.length;
  const miss = found.length === 0 && after === undefined ? misses.explain() : null;
  if (found.length < wanted) return { images: found, marker: null, idLength, miss };
  const images = found.slice(0, wanted - 1);
  return { images, marker: images.at(-1)?.id ?? null, idLength, miss };
}

/** `KEY[:asc|desc]`, several with commas; ascending by default. @throws USAGE */
export function parseSort(text: string): SortOrder[] {
  return text.split(',').map((part) => {
    const [key = '', direction = 'asc', ...rest] = part.trim().split(':');
    const isKey = (SORT_KEYS as readonly string[]).includes(key);
    if (isKey && rest.length === 0 && (direction === 'asc' || direction === 'desc'))
      return { key: key as SortKey, descending: direction === 'desc' };
    throw usage(
      `"${part}" is no order`,
      `use KEY[:asc|desc] with a key of ${SORT_KEYS.join(', ')}`,
    );
  });
}

function comparer(orders: readonly SortOrder[]) {
  return (a: ImageRecord, b: ImageRecord): number => {
    for (const { key, descending } of orders) {
      const order =
        key === 'size' ? compareValues(sizeOf(a), sizeOf(b)) : compareValues(a[key], b[key]);
      if (order !== 0) return descending ? -order : order;
    }
    return compareValues(a.id, b.id);
  };
}

/** Compares two values; a missing value comes before all others. */
function compareValues(a: string | number | null, b: string | number | null): number {
  if (a === b) return 0;
  if (a === null) return -1;
  if (b === null) return 1;
  return a < b ? -1 : 1;
}
