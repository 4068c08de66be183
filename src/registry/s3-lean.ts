// Small reads and listings with the SDK's credentials and connections, past its middleware; whatever is not plain goes the whole way.
import {
  type ClientRequest,
  request as httpRequest,
  type IncomingHttpHeaders,
  type IncomingMessage,
} from 'node:http';
import { request as httpsRequest } from 'node:https';
import { requestSigner } from './s3-access.ts';
import { hasEtag } from './s3-answer.ts';
import { type ListPage, parseListPage } from './s3-list-xml.ts';
import type { S3Requests } from './s3-requests.ts';

/** Of a record or of a page of keys; more is for the SDK to stream. */
const MAX_BYTES = 4 * 1024 * 1024;

/**
 * NOTE: one request costs the SDK about a millisecond of processor time, most of it in its
 * middleware and its XML, and ten thousand records are as many requests. This makes the same GET
 * with the SDK's own credentials and connections (so http and https alike), for servers with an
 * endpoint of their own. An error of the server is raised in the SDK's own shape, so that it
 * is told and tried again like any other. Only what may be this reader's own fault (its signature,
 * a redirect, an answer that is not plain) is `undefined`: the SDK asks again.
 */
export class LeanReader {
  readonly #s3: S3Requests;
  readonly #url: URL;
  readonly #signer: ReturnType<typeof requestSigner>;
  #isOff: boolean;

  constructor(s3: S3Requests) {
    const { endpoint, pathStyle } = s3.options;
    const isPlain = Boolean(endpoint) && pathStyle !== false;
    this.#s3 = s3;
    this.#signer = requestSigner(s3.access);
    this.#url = new URL(endpoint ?? 'http://s3');
    this.#isOff = !(isPlain && this.#url.pathname === '/');
  }

  /** The object at `key` (with the registry's prefix); a body that is undefined: ask the SDK. */
  async read(key: string, signal: AbortSignal): Promise<{ body: Buffer | undefined }> {
    const path = `/${key.split('/').map(encodePart).join('/')}`;
    const { body, headers = {} } = (await this.#get(path, {}, signal)) ?? {};
    // What is not plainly whole, and S3's, is asked for again.
    const isPlain =
      body !== undefined &&
      headers['content-length'] === String(body.byteLength) &&
      headers.etag !== undefined &&
      hasEtag(body, encryption(headers));
    return { body: isPlain ? body : undefined };
  }

  /** One page of keys, or `undefined`: ask the SDK. */
  async listPage(
    query: { prefix: string; startAfter?: string | undefined; token?: string | undefined },
    signal: AbortSignal,
  ): Promise<ListPage | undefined> {
    const { prefix, startAfter, token } = query;
    const search = {
      'list-type': '2',
      prefix,
      ...(startAfter === undefined ? {} : { 'start-after': startAfter }),
      ...(token === undefined ? {} : { 'continuation-token': token }),
    };
    const { body } = (await this.#get('', search, signal)) ?? {};
    return body === undefined ? undefined : parseListPage(body.toString('utf8'), this.#s3.prefix);
  }

  async #get(
    below: string,
    query: Record<string, string>,
    signal: AbortSignal,
  ): Promise<Answer | undefined> {
    if (this.#isOff) return undefined;
    const response = await this.#send(below, query, signal);
    const { statusCode: status = 0, headers } = response;
    const answer = { status, headers, body: await collect(response) };
    if (answer.status === 200) return answer;
    const text = answer.body?.toString('utf8') ?? '';
    const name = element(text, 'Code') ?? 'UnknownError';
    if (!(answer.status < 400 || OWN_FAULTS.has(name))) {
      const facts = { name, Code: name, $metadata: { httpStatusCode: answer.status } };
      throw Object.assign(new Error(element(text, 'Message') ?? name), facts);
    }
    // It will not become better by asking once more.
    this.#isOff = true;
    return undefined;
  }

  async #send(
    below: string,
    query: Record<string, string>,
    signal: AbortSignal,
  ): Promise<IncomingMessage> {
    const { access, options } = this.#s3;
    const { host, hostname, protocol } = this.#url;
    const path = `/${encodePart(options.bucket)}${below}`;
    const { headers } = await this.#signer.sign({
      ...{ method: 'GET', protocol, hostname, path, query },
      headers: { host },
    });
    const names = Object.keys(query).sort();
    const search = names.map((name) => `${name}=${encodePart(query[name] ?? '')}`).join('&');
    const isTls = protocol === 'https:';
    const [send, agent] = isTls ? [httpsRequest, access.https] : [httpRequest, access.http];
    const pathAndQuery = search === '' ? path : `${path}?${search}`;
    return answerTo(send(this.#url, { agent, path: pathAndQuery, headers }), signal);
  }
}

const OWN_FAULTS: ReadonlySet<string> = new Set([
  'SignatureDoesNotMatch',
  'AuthorizationHeaderMalformed',
  'RequestTimeTooSkewed',
  'InvalidRequest',
  'PermanentRedirect',
  'TemporaryRedirect',
]);

function element(text: string, name: string): string | undefined {
  return new RegExp(`<${name}>([^<]*)</${name}>`).exec(text)?.[1];
}

interface Answer {
  status: number;
  headers: IncomingHttpHeaders;
  /** Undefined where it is not wanted. */
  body: Buffer | undefined;
}

function encryption(headers: IncomingHttpHeaders) {
  const text = (name: string) => headers[name]?.toString();
  return {
    ETag: headers.etag,
    ServerSideEncryption: text('x-amz-server-side-encryption'),
    SSECustomerAlgorithm: text('x-amz-server-side-encryption-customer-algorithm'),
  };
}

/** What comes back; a signal that fires ends the answer's body too. */
function answerTo(request: ClientRequest, signal: AbortSignal): Promise<IncomingMessage> {
  return new Promise((resolve, reject) => {
    const onAbort = () => request.destroy(signal.reason);
    signal.addEventListener('abort', onAbort, { once: true });
    request.once('response', resolve);
    request.on('error', reject);
    request.once('close', () => signal.removeEventListener('abort', onAbort));
    if (signal.aborted) onAbort();
    request.end();
  });
}

/** `undefined` where it is not wanted, being large. */
function collect(answer: IncomingMessage): Promise<Buffer | undefined> {
  const isWanted = !(Number(answer.headers['content-length'] ?? 0) > MAX_BYTES);
  return new Promise((resolve, reject) => {
    const chunks: Buffer[] = [];
    answer.on('data', (chunk: Buffer) => {
      if (isWanted) chunks.push(chunk);
    });
    // A body that is cut short is ECONNRESET here, by its Content-Length or its last chunk.
    answer.once('error', reject);
    answer.once('end', () => resolve(isWanted ? Buffer.concat(chunks) : undefined));
  });
}

/** What RFC 3986 leaves alone, and nothing else: `encodeURIComponent` leaves five more. */
function encodePart(text: string): string {
  return encodeURIComponent(text).replace(
    /[!'()*]/g,
    (character) => `%${character.charCodeAt(0).toString(16).toUpperCase()}`,
  );
}
