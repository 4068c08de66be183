// Reads names, encodings and page types from the headers of an HTTP answer. Pure.
import type { IncomingHttpHeaders } from 'node:http';
import { basename } from 'node:path';

export type Encoding = 'gzip' | 'deflate' | 'brotli' | 'zstd';

const ENCODINGS = new Map<string, Encoding>([
  ['gzip', 'gzip'],
  ['x-gzip', 'gzip'],
  ['deflate', 'deflate'],
  ['br', 'brotli'],
  ['zstd', 'zstd'],
]);

/** The most encodings that are accepted; no honest server applies more. */
const MAX_ENCODINGS = 4;

/**
 * The encodings of the body, the outermost first; or, as `unknown`, the first that cannot be
 * decoded, as the server names it.
 */
export function encodingsOf(
  headers: IncomingHttpHeaders,
): { encodings: Encoding[] } | { unknown: string } {
  const encodings: Encoding[] = [];
  for (const word of [...words(headers['content-encoding']), ...transfers(headers)]) {
    const encoding = ENCODINGS.get(word);
    if (encoding === undefined || encodings.length === MAX_ENCODINGS) return { unknown: word };
    encodings.unshift(encoding);
  }
  return { encodings };
}

/** Words that servers send for bytes as they are; S3 stores of old versions keep `aws-chunked`. */
const UNENCODED: ReadonlySet<string> = new Set(['', 'identity', 'aws-chunked', 'binary', 'none']);

/** Returns the encodings in the order in which they were applied. */
function words(header: string | undefined): string[] {
  const list = (header ?? '').split(',').map((word) => word.trim().toLowerCase());
  return list.filter((word) => !UNENCODED.has(word));
}

/** Node itself removes `chunked`. */
function transfers(headers: IncomingHttpHeaders): string[] {
  return words(headers['transfer-encoding']).filter((word) => word !== 'chunked');
}

/** Types of pages, texts and multipart answers, which no disk image has. */
const NO_DISK =
  /^(text\/(html|xml)|application\/(xhtml\+xml|xml|json|problem\+json)|multipart\/.*)$/;

/** Returns the type of a page, an error or a listing; undefined if the answer may be a disk image. */
export function pageTypeOf(headers: IncomingHttpHeaders): string | undefined {
  const type = headers['content-type']?.split(';')[0]?.trim().toLowerCase();
  return type !== undefined && NO_DISK.test(type) ? type : undefined;
}

/** The last part of the URL's path; its query and its fragment name nothing. */
export function nameOf(url: URL): string {
  return decoded(basename(url.pathname).replace(/;.*$/, ''));
}

/** The names that `Content-Disposition` gives the file, without folders. */
export function namesOf(headers: IncomingHttpHeaders): string[] {
  const header = headers['content-disposition'] ?? '';
  const extended = /;\s*filename\*\s*=\s*[\w-]+'[^']*'([^;\s]+)/i.exec(header)?.[1];
  const plain = /;\s*filename\s*=\s*(?:"((?:[^"\\]|\\.)*)"|([^;\s]+))/i.exec(header);
  const names = [extended && decoded(extended), plain?.[1]?.replace(/\\(.)/g, '$1') ?? plain?.[2]];
  return names.flatMap((name) => (name ? [name.replace(/^.*[/\\]/, '')] : []));
}

function decoded(text: string): string {
  try {
    return decodeURIComponent(text);
  } catch (error) {
    if (error instanceof URIError) return text;
    throw error;
  }
}
