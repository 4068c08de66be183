// Small reads and listings without the SDK in between, where that is safe; whatever is not plain goes to the SDK.
import {
  Agent,
  get,
  type IncomingHttpHeaders,
  type IncomingMessage,
  type RequestOptions,
} from 'node:http';
import { hasEtag } from './s3-answer.ts';
import { type ListPage, parseListPage } from './s3-list-xml.ts';
import type { S3Requests } from './s3-requests.ts';
import { encodePart, signGet } from './s3-sign.ts';

/** Of a record or of a page of keys; more is for the SDK to stream. */
const MAX_BYTES = 4 * 1024 * 1024;

/**
 * NOTE: one request costs the SDK about a millisecond of processor time, and ten thousand records
 * are as many requests. This makes the same GET for a tenth of it: for servers with an endpoint of
 * their own over plain http, with the SDK's credentials. An error of the server is raised in the
 * SDK's own shape, so that it is told and tried again like any other. Only what may be this
 * reader's own fault (its signature, its clock, a redirect, an answer that is not plain) is
 * `undefined`: the SDK asks again.
 */
export class LeanReader {
  readonly #s3: S3Requests;
  readonly #endpoint: URL | undefined;
  readonly #agent = new Agent({ keepAlive: true, maxSockets: 64 });
  #isOff = false;

  constructor(s3: S3Requests) {
    const { endpoint, pathStyle } = s3.options;
    const url = endpoint ? new URL(endpoint) : undefined;
    const isPlain = url?.protocol === 'http:' && url.pathname === '/' && pathStyle !== false;
    this.#s3 = s3;
    this.#endpoint = isPlain ? url : undefined;
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
    const endpoint = this.#endpoint;
    if (endpoint === undefined || this.#isOff) return undefined;
    const { config } = this.#s3.client;
    const [credentials, region] = await Promise.all([config.credentials(), config.region()]);
    const path = `/${encodePart(this.#s3.options.bucket)}${below}`;
    const request = { host: endpoint.host, path, query, region };
    const { headers, search } = signGet(request, credentials, new Date());
    const target = {
      agent: this.#agent,
      host: endpoint.hostname,
      port: endpoint.port || 80,
      path: search === '' ? path : `${path}?${search}`,
      headers,
      signal,
    };
    const answer = await send(target);
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

function send(target: RequestOptions): Promise<Answer> {
  return new Promise((resolve, reject) => {
    const request = get(target, (answer: IncomingMessage) => {
      const { statusCode: status = 0, headers } = answer;
      const isWanted = !(Number(headers['content-length'] ?? 0) > MAX_BYTES);
      const chunks: Buffer[] = [];
      answer.on('data', (chunk: Buffer) => {
        if (isWanted) chunks.push(chunk);
      });
      // A body that is cut short is ECONNRESET here, by its Content-Length or its last chunk.
      answer.once('error', reject);
      answer.once('end', () =>
        resolve({ status, headers, body: isWanted ? Buffer.concat(chunks) : undefined }),
      );
    });
    request.once('error', reject);
  });
}
