// Requests with the SDK's credentials and connections, past its middleware; whatever is not plain goes the whole way.
import {
  type ClientRequest,
  request as httpRequest,
  type IncomingHttpHeaders,
  type IncomingMessage,
  type OutgoingHttpHeaders,
} from 'node:http';
import { request as httpsRequest } from 'node:https';
import type { Readable } from 'node:stream';
import { connectMs, requestSigner, type S3Access } from './access.ts';
import { elementText } from './list-xml.ts';
import type { S3StoreOptions } from './s3-options.ts';

/** What of an answer is kept: of a record or of a page of keys; more is for the SDK to stream. */
const MAX_BYTES = 4 * 1024 * 1024;

export interface LeanRequest {
  method: 'GET' | 'PUT';
  /** With the registry's prefix; the bucket itself where it is left out. */
  key?: string;
  query?: Record<string, string>;
  headers?: Record<string, string>;
  /** Not signed, as the SDK signs no stream; its length stands in the headers. */
  body?: Readable;
}

export interface LeanAnswer {
  headers: IncomingHttpHeaders;
  /** Undefined where it is not wanted, being large. */
  body: Buffer | undefined;
}

/**
 * NOTE: one request costs the SDK one to two milliseconds of processor time, most of it in its
 * middleware and its XML; ten thousand records are as many requests, and parts share the processor
 * with their checks. This makes the same request with the SDK's own credentials and connections (so
 * http and https alike), for servers with an endpoint of their own. An error of the server is
 * raised in the SDK's own shape, so that it is told and tried again like any other. Only what may
 * be a fault of these requests (their signature, a redirect) is `undefined`: the SDK asks again.
 */
export class LeanRequests {
  readonly #access: S3Access;
  readonly #options: S3StoreOptions;
  readonly #url: URL;
  readonly #signer: ReturnType<typeof requestSigner>;
  #isOff: boolean;

  constructor(access: S3Access, options: S3StoreOptions) {
    const { endpoint, pathStyle } = options;
    const isPlain = Boolean(endpoint) && pathStyle !== false;
    this.#access = access;
    this.#options = options;
    this.#signer = requestSigner(access);
    this.#url = new URL(endpoint ?? 'http://s3');
    this.#isOff = !(isPlain && this.#url.pathname === '/');
  }

  /** Whether all is the SDK's; once it is, it stays so. */
  get isOff(): boolean {
    return this.#isOff;
  }

  /** What a plain success says, or `undefined`: ask the SDK. */
  async send(request: LeanRequest, signal: AbortSignal): Promise<LeanAnswer | undefined> {
    if (this.#isOff) return undefined;
    const response = await this.#start(request, signal);
    const { statusCode: status = 0, headers } = response;
    const body = await collect(response);
    const isObject = status === 200 && request.method === 'GET';
    const failure = isObject ? undefined : failureOf(status, body?.toString('utf8') ?? '');
    if (failure === undefined) return { headers, body };
    if (failure.$metadata.httpStatusCode >= 400 && !OWN_FAULTS.has(failure.name)) throw failure;
    // It will not become better by asking once more.
    this.#isOff = true;
    return undefined;
  }

  async #start(
    { method, key, query = {}, headers, body }: LeanRequest,
    signal: AbortSignal,
  ): Promise<IncomingMessage> {
    const { bucket, requestMs } = this.#options;
    const { host, hostname, protocol } = this.#url;
    const path = ['', bucket, ...(key?.split('/') ?? [])].map(encodePart).join('/');
    const unsigned = body === undefined ? {} : { 'x-amz-content-sha256': 'UNSIGNED-PAYLOAD' };
    const signed = await this.#signer.sign({
      ...{ method, protocol, hostname, path, query },
      headers: { host, ...headers, ...unsigned },
    });
    const names = Object.keys(query).sort();
    const search = names.map((name) => `${name}=${encodePart(query[name] ?? '')}`).join('&');
    const request = this.#open(method, search === '' ? path : `${path}?${search}`, signed.headers);
    limitConnecting(request, connectMs(requestMs));
    return answerTo(request, body, signal);
  }

  #open(method: string, path: string, headers: OutgoingHttpHeaders): ClientRequest {
    const isTls = this.#url.protocol === 'https:';
    const { http, https } = this.#access;
    const [send, agent] = isTls ? [httpsRequest, https] : [httpRequest, http];
    return send(this.#url, { method, agent, path, headers });
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

/** In the SDK's shape; `undefined` where there is none. */
function failureOf(status: number, text: string) {
  // As with the SDK: what was begun with a success may yet have failed.
  const httpStatusCode = status === 200 && text.endsWith('</Error>') ? 503 : status;
  if (httpStatusCode === 200) return undefined;
  const name = elementText(text, 'Code') ?? (status === 404 ? 'NotFound' : 'Unknown');
  const facts = { name, Code: name, $metadata: { httpStatusCode } };
  return Object.assign(new Error(elementText(text, 'Message') || 'UnknownError'), facts);
}

/** A request may have minutes for its body; the connection it needs has not. */
function limitConnecting(request: ClientRequest, ms: number): void {
  request.once('socket', (socket) => {
    if (!socket.connecting) return;
    const giveUp = () =>
      request.destroy(Object.assign(new Error('no connection'), { name: 'TimeoutError' }));
    const timer = setTimeout(giveUp, ms);
    const settle = () => clearTimeout(timer);
    socket.once('connect', settle);
    request.once('close', settle);
  });
}

/** What comes back; a signal that fires ends the answer's body too. */
function answerTo(
  request: ClientRequest,
  body: Readable | undefined,
  signal: AbortSignal,
): Promise<IncomingMessage> {
  return new Promise((resolve, reject) => {
    const onAbort = () => request.destroy(signal.reason);
    signal.addEventListener('abort', onAbort, { once: true });
    request.once('response', resolve);
    request.on('error', reject);
    request.once('close', () => signal.removeEventListener('abort', onAbort));
    if (signal.aborted) onAbort();
    if (body === undefined) request.end();
    else body.pipe(request);
  });
}

/** `undefined` if it is large; its rest is not read then. */
function collect(answer: IncomingMessage): Promise<Buffer | undefined> {
  return new Promise((resolve, reject) => {
    const chunks: Buffer[] = [];
    let size = 0;
    const giveUp = () => {
      resolve(undefined);
      answer.destroy();
    };
    answer.on('data', (chunk: Buffer) => {
      size += chunk.byteLength;
      if (size > MAX_BYTES) giveUp();
      else chunks.push(chunk);
    });
    // A body that is cut short is ECONNRESET here, by its Content-Length or its last chunk.
    answer.once('error', reject);
    answer.once('end', () => resolve(Buffer.concat(chunks)));
    if (Number(answer.headers['content-length'] ?? 0) > MAX_BYTES) giveUp();
  });
}

/** What RFC 3986 leaves alone, and nothing else: `encodeURIComponent` leaves five more. */
function encodePart(text: string): string {
  return encodeURIComponent(text).replace(
    /[!'()*]/g,
    (character) => `%${character.charCodeAt(0).toString(16).toUpperCase()}`,
  );
}
