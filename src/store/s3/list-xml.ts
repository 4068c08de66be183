// The answer to ListObjectsV2 read straight from its text. Pure.
import { unquote } from '../etag.ts';
import type { ObjectInfo } from '../object-info.ts';

/** A page as the SDK would give it, with what a listing of keys needs; keys without the registry's prefix. */
export interface ListPage {
  objects: ObjectInfo[];
  /** Undefined on the last page. */
  nextToken: string | undefined;
}

/**
 * `prefix`: of every key, taken off it. `undefined` where the text is not plainly such an answer.
 *
 * NOTE: a thousand keys take the SDK's parser some 15 ms, and this 2: with ten thousand images that
 * is most of the time a listing takes.
 */
export function parseListPage(text: string, prefix = ''): ListPage | undefined {
  if (!/<ListBucketResult[\s>]/.test(text.slice(0, 500))) return undefined;
  if (!text.trimEnd().endsWith('</ListBucketResult>')) return undefined;
  const [head = '', ...rest] = text.split('<Contents>');
  const objects: ListPage['objects'] = [];
  let outside = head;
  for (const piece of rest) {
    const end = piece.indexOf('</Contents>');
    const key = end === -1 ? undefined : elementText(piece, 'Key');
    if (key === undefined || !/<Size>\d{1,15}<\/Size>/.test(piece)) return undefined;
    if (!key.startsWith(prefix)) return undefined;
    objects.push(new ListedObject(key.slice(prefix.length), piece));
    if (end + CONTENTS_END < piece.length) outside += piece.slice(end);
  }
  const count = elementText(outside, 'KeyCount');
  if (count !== undefined && Number(count) !== objects.length) return undefined;
  const isTruncated = elementText(outside, 'IsTruncated');
  if (isTruncated === 'false') return { objects, nextToken: undefined };
  const nextToken = elementText(outside, 'NextContinuationToken');
  return isTruncated === 'true' && nextToken !== undefined ? { objects, nextToken } : undefined;
}

const CONTENTS_END = '</Contents>'.length;

/** Most keys of a walk are looked at by their name alone: the rest is read when it is asked for. */
class ListedObject implements ObjectInfo {
  readonly key: string;
  readonly #text: string;

  constructor(key: string, text: string) {
    this.key = key;
    this.#text = text;
  }

  get size(): number {
    return Number(elementText(this.#text, 'Size'));
  }

  get etag(): string | null {
    return unquote(elementText(this.#text, 'ETag'));
  }

  get lastModified(): Date | null {
    const time = elementText(this.#text, 'LastModified');
    return time === undefined ? null : new Date(time);
  }
}

/** What stands in the first element of that name, unescaped. */
export function elementText(text: string, name: string): string | undefined {
  const start = text.indexOf(`<${name}>`);
  const end = start === -1 ? -1 : text.indexOf(`</${name}>`, start);
  return end === -1 ? undefined : unescapeXml(text.slice(start + name.length + 2, end));
}

const ENTITIES: Readonly<Record<string, string>> = {
  amp: '&',
  lt: '<',
  gt: '>',
  quot: '"',
  apos: "'",
};

const MAX_CODE_POINT = 0x10ffff;

function unescapeXml(text: string): string {
  if (!text.includes('&')) return text;
  return text.replace(/&(?:#x([0-9a-f]+)|#(\d+)|(\w+));/gi, (whole, hex, decimal, name) => {
    if (name !== undefined) return ENTITIES[name] ?? whole;
    const code = Number.parseInt(hex ?? decimal, hex === undefined ? 10 : 16);
    return code > MAX_CODE_POINT ? whole : String.fromCodePoint(code);
  });
}
