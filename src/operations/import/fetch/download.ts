// Fetches an untrusted URL: only http and https, no local network, limited in size and time.
import { get as httpGet, type IncomingMessage, type RequestOptions } from 'node:http';
import { get as httpsGet } from 'node:https';
import { isIP } from 'node:net';
import type { Readable } from 'node:stream';
import { messageOf, PublishError } from '../../../core/errors.ts';
import { formatBytes } from '../../../core/format-bytes.ts';
import { isPublic, lookupPublic, notPublic } from './addresses.ts';
import { type Encoding, encodingsOf, nameOf, namesOf, pageTypeOf } from './answer-headers.ts';

export interface DownloadOptions {
  allowPrivate: boolean;
  maxBytes: number;
  /** How long the server may send nothing. */
  idleMs: number;
  /** Accepts answers whose type is a page or a text too. */
  anyType?: boolean;
  /** Fires at the deadline of the download, or when the caller aborts. */
  signal: AbortSignal;
}

export interface Download {
  /** The body as it was sent: still encoded. */
  body: Readable;
  /** Bytes of the body, if the server says so. */
  length: number | undefined;
  /** Encodings of the body, the outermost first. */
  encodings: readonly Encoding[];
  /** The names of the file: of the URL, of each redirect, and of the server. */
  names: readonly string[];
}

const MAX_REDIRECTS = 5;

/**
 * Opens the URL. Each redirect must obey the same rules as the first address.
 * @throws DOWNLOAD (also for an encoding that cannot be decoded, and for a page), USAGE (no http
 * URL); what goes wrong later arrives on the stream.
 */
export async function openDownload(url: string, options: DownloadOptions): Promise<Download> {
  let at = parseUrl(url);
  const credentials = credentialsOf(at);
  const { origin } = at;
  const names: string[] = [];
  for (let redirects = 0; redirects <= MAX_REDIRECTS; redirects += 1) {
    names.push(nameOf(at));
    const auth = at.origin === origin ? credentials : undefined;
    const answer = await request(at, auth, options);
    const { statusCode = 0, headers } = answer;
    if (statusCode >= 300 && statusCode < 400 && headers.location !== undefined) {
      answer.destroy();
      at = nextUrl(at, headers.location);
      continue;
    }
    try {
      const encodings = checkAnswer(at, answer, options);
      const length = checkLength(at, headers['content-length'], options);
      return { body: answer, length, encodings, names: [...names, ...namesOf(headers)] };
    } catch (error) {
      answer.destroy();
      throw error;
    }
  }
  throw failed(at, `there are more than ${MAX_REDIRECTS} redirects`, ADDRESS);
}

/** A URL without user, password and query, as it may be shown and logged. */
export function shownUrl(url: URL): string {
  return `${url.origin}${url.pathname}`;
}

/** @throws USAGE */
export function parseUrl(text: string): URL {
  const url = URL.canParse(text) ? new URL(text) : undefined;
  if (url !== undefined && /^https?:$/.test(url.protocol)) return url;
  const message = 'only http:// and https:// URLs can be imported';
  const hint = 'download it by hand, and import the file';
  throw new PublishError('USAGE', message, { step: 'download', hint });
}

function nextUrl(from: URL, location: string): URL {
  const url = URL.canParse(location, from.href) ? new URL(location, from.href) : undefined;
  const isHttp = url !== undefined && /^https?:$/.test(url.protocol);
  if (!isHttp) throw failed(from, 'it redirects to an address that is not an http URL', ADDRESS);
  if (from.protocol === 'https:' && url.protocol === 'http:') {
    throw failed(
      from,
      'it redirects from https to http, which anyone on the way can change',
      ADDRESS,
    );
  }
  return url;
}

function credentialsOf(url: URL): string | undefined {
  if (url.username === '') return undefined;
  return `${decodeURIComponent(url.username)}:${decodeURIComponent(url.password)}`;
}

function request(
  url: URL,
  auth: string | undefined,
  { allowPrivate, idleMs, signal }: DownloadOptions,
): Promise<IncomingMessage> {
  // NOTE: a host that is an address is never looked up, so it is checked here.
  const host = url.hostname.replace(/^\[|\]$/g, '');
  if (!allowPrivate && isIP(host) !== 0 && !isPublic(host)) throw notPublic(host, host);
  const options: RequestOptions = {
    agent: false,
    signal,
    headers: { accept: '*/*', 'accept-encoding': 'identity', 'user-agent': 'virt-publish' },
    ...(auth === undefined ? {} : { auth }),
    ...(allowPrivate ? {} : { lookup: lookupPublic }),
  };
  return new Promise((resolve, reject) => {
    const get = url.protocol === 'https:' ? httpsGet : httpGet;
    const bare = new URL(url);
    bare.username = '';
    bare.password = '';
    const asked = get(bare, options, resolve);
    asked.setTimeout(idleMs, () => {
      asked.destroy(failed(url, `the server was silent for ${idleMs / 1000} s`));
    });
    asked.on('error', (error) => reject(explain(url, error, signal)));
  });
}

/** The encodings of the body. */
function checkAnswer(
  url: URL,
  { statusCode, headers }: IncomingMessage,
  { anyType = false }: DownloadOptions,
): readonly Encoding[] {
  if (statusCode !== 200) throw failed(url, `the server answered ${statusCode}`, ADDRESS);
  const page = anyType ? undefined : pageTypeOf(headers);
  if (page !== undefined) {
    const hint = 'check the address, or name the format with --format if it is an image';
    throw failed(url, `the server answered with ${page}, not an image`, hint);
  }
  const found = encodingsOf(headers);
  if ('encodings' in found) return found.encodings;
  const known = 'gzip, deflate, br and zstd are decoded, four in a row at most';
  const why = `it is encoded with ${JSON.stringify(found.unknown.slice(0, 40))}; ${known}`;
  throw failed(url, why, 'download it by hand, and import the file');
}

function checkLength(
  url: URL,
  header: string | undefined,
  { maxBytes }: DownloadOptions,
): number | undefined {
  if (header === undefined) return undefined;
  const length = Number(header);
  if (length <= maxBytes) return length;
  throw failed(
    url,
    `it has ${formatBytes(length)}, more than the ${formatBytes(maxBytes)} allowed`,
    'raise --max-size',
  );
}

function explain(url: URL, error: unknown, signal: AbortSignal): unknown {
  if (error instanceof PublishError) return error;
  if (signal.aborted) return signal.reason;
  return failed(url, messageOf(error));
}

const ADDRESS = 'check the address';

function failed(url: URL, why: string, hint?: string): PublishError {
  const message = `${shownUrl(url)} could not be fetched: ${why}`;
  return new PublishError('DOWNLOAD', message, { step: 'download', ...(hint && { hint }) });
}
