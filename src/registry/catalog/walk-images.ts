// Which images there are and the newest version of each, from listings alone.
import { mapBounded } from '../../core/bounded.ts';
import type { CallOptions, ObjectInfo } from '../../store/object-info.ts';
import type { ObjectStore } from '../../store/object-store.ts';
import { isImageId } from '../record/names.ts';
import { versionOf } from '../record/records.ts';

export const IMAGES = 'images/';
/** Between an image's id and the name of a version. */
const RECORD = '/record/';

/** The newest record version of one image, as the store lists it. */
export interface NewestVersion {
  id: string;
  version: number;
  /** Bytes of that version. */
  size: number;
  etag: string | null;
}

/** Keys after which a bucket is listed in several places at once: two pages. */
const SMALL_KEYS = 2000;
const LISTINGS_AT_ONCE = 8;
const HEX = '0123456789abcdef';

/**
 * Yields the newest version of every image, in the order of the ids.
 *
 * NOTE: a page of a LIST has 1000 keys, needs the one before it, and takes a server some 20 ms. An
 * image has about five keys, so ten thousand images are fifty pages. Ids are random: after the first
 * pages each first digit is listed by itself, several at once. A directory gains nothing by that.
 */
export async function* newestVersions(
  store: ObjectStore,
  options: CallOptions = {},
): AsyncGenerator<NewestVersion> {
  const first = new Newest();
  let keys = 0;
  for await (const page of store.listPages(IMAGES, options)) {
    yield* first.takeAll(page);
    keys += page.length;
    const last = page.at(-1);
    if (keys >= SMALL_KEYS && store.location !== undefined && last !== undefined) {
      yield* listRest(store, first, last.key, options);
      return;
    }
  }
  if (first.last !== undefined) yield first.last;
}

async function* listRest(
  store: ObjectStore,
  first: Newest,
  after: string,
  options: CallOptions,
): AsyncGenerator<NewestVersion> {
  const digit = after.charAt(IMAGES.length);
  const digits = [...HEX].filter((each) => each >= digit);
  const started = HEX.includes(digit) ? { digit, newest: first, after } : undefined;
  if (started === undefined && first.last !== undefined) yield first.last;
  yield* listDigits(store, digits, options, started);
}

/** `started`: the digit that was listed up to `after`, and what was found of it. */
async function* listDigits(
  store: ObjectStore,
  digits: readonly string[],
  options: CallOptions,
  started?: { digit: string; newest: Newest; after: string },
): AsyncGenerator<NewestVersion> {
  const lists = mapBounded(digits, LISTINGS_AT_ONCE, async (prefix) => {
    const isStarted = started?.digit === prefix;
    const newest = isStarted ? started.newest : new Newest();
    const from = isStarted ? { ...options, startAfter: started.after } : options;
    const found: NewestVersion[] = [];
    for await (const page of store.listPages(IMAGES + prefix, from)) {
      found.push(...newest.takeAll(page));
    }
    return newest.last === undefined ? found : [...found, newest.last];
  });
  for await (const list of lists) yield* list;
}

/** Follows a listing: the highest record version of an image is its newest. */
class Newest {
  #last: { id: string; version: number; object: ObjectInfo } | undefined;

  get last(): NewestVersion | undefined {
    if (this.#last === undefined) return undefined;
    const { id, version, object } = this.#last;
    const { etag, size } = object;
    return { id: ownText(id), version, size, etag: etag === null ? null : ownText(etag) };
  }

  /** The images that these keys show to be complete. */
  takeAll(objects: readonly ObjectInfo[]): NewestVersion[] {
    return objects.flatMap((object) => this.#take(object) ?? []);
  }

  /** Takes the next key; returns the image before it if the key is of another one. */
  #take(object: ObjectInfo): NewestVersion | undefined {
    const { key } = object;
    const idEnd = key.indexOf('/', IMAGES.length);
    // Two of five keys of an image are none of its record's.
    if (idEnd === -1 || !key.startsWith(RECORD, idEnd)) return undefined;
    if (key.lastIndexOf('/') !== idEnd + RECORD.length - 1) return undefined;
    const id = key.slice(IMAGES.length, idEnd);
    const version = versionOf(key);
    if (version === undefined || !isImageId(id)) return undefined;
    const before = this.#last;
    // Versions of more than eight digits sort before some of fewer.
    if (before?.id === id && before.version > version) return undefined;
    const done = before !== undefined && before.id !== id ? this.last : undefined;
    this.#last = { id, version, object };
    return done;
  }
}

/** Returns a copy. NOTE: in V8 a part of a string keeps the whole alive: here the page it came from. */
function ownText(text: string): string {
  return Buffer.from(text).toString();
}
