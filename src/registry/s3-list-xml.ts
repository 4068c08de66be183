// The answer to ListObjectsV2 read straight from its text. Pure.
import { unquote } from './etag.ts';

/** A page as the SDK would give it, with what a listing of keys needs. */
export interface ListPage {
  objects: { key: string; size: number; etag: string | null; lastModified: Date | null }[];
  /** Undefined on the last page. */
  nextToken: string | undefined;
}

/**
 * `undefined` where the text is not plainly such an answer.
 *
 * NOTE: a thousand keys take the SDK's parser some 15 ms, and this 2: with ten thousand images that
 * is most of the time a listing takes.
 */
export function parseListPage(text: string): ListPage | undefined {
  if (!/<ListBucketResult[\s>]/.test(text.slice(0, 500))) return undefined;
  if (!text.trimEnd().endsWith('</ListBucketResult>')) return undefined;
  const [head = '', ...rest] = text.split('<Contents>');
  const objects: ListPage['objects'] = [];
  let outside = head;
  for (const piece of rest) {
    const end = piece.indexOf('</Contents>');
    const key = end === -1 ? undefined : field(piece, 'Key');
    const size = Number(field(piece, 'Size'));
    if (key === undefined || !Number.isSafeInteger(size)) return undefined;
    const time = field(piece, 'LastModified');
    const lastModified = time === undefined ? null : new Date(time);
    objects.push({ key, size, etag: unquote(field(piece, 'ETag')), lastModified });
    outside += piece.slice(end);
  }
  const isTruncated = field(outside, 'IsTruncated');
  if (isTruncated === 'false') return { objects, nextToken: undefined };
  const nextToken = field(outside, 'NextContinuationToken');
  return isTruncated === 'true' && nextToken !== undefined ? { objects, nextToken } : undefined;
}

function field(text: string, name: string): string | undefined {
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

function unescapeXml(text: string): string {
  if (!text.includes('&')) return text;
  return text.replace(/&(?:#x([0-9a-f]+)|#(\d+)|(\w+));/gi, (whole, hex, decimal, name) => {
    if (name !== undefined) return ENTITIES[name] ?? whole;
    return String.fromCodePoint(Number.parseInt(hex ?? decimal, hex === undefined ? 10 : 16));
  });
}
