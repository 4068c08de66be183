// A proxy in front of the real S3 server that injects faults into chosen requests.
import {
  createServer,
  type IncomingHttpHeaders,
  type IncomingMessage,
  request,
  type ServerResponse,
} from 'node:http';
import { type AddressInfo, connect } from 'node:net';
import { buffer } from 'node:stream/consumers';

/**
 * What happens to a request.
 * - `reset`: the connection breaks before the server receives it; `reset-middle`: when 50% of it
 *   has reached the server; `lose`: when the server has acted.
 * - `stall`: no answer ever comes, the server receives nothing; `stall-after`: the server acts.
 * - `short`: 50% of the body with the Content-Length of all of it; `cut`: 50%, chunked, without an
 *   end; `closed`: 50%, without a length, and an orderly end; `hang`: 50%, and then nothing. An
 *   answer without a body is cut within its head.
 * - `twice`: the server gets it two times, as from a relay that retries; the second answer counts.
 * - `garbage`: the answer is no HTTP.
 * - `instead`: the server receives nothing; the proxy calls its `instead`, and the answer is lost.
 * - An answer: sent in place of the server's; with `after`, when the server has acted; with
 *   `early`, before the body of the request is read, and the connection stays open.
 * - `hostile`: the server receives nothing, and this function sends any answer.
 * - `etag`, `headers`: the server's answer with these instead of its own.
 */
export type Fault =
  | 'reset'
  | 'reset-middle'
  | 'lose'
  | 'stall'
  | 'stall-after'
  | 'short'
  | 'cut'
  | 'closed'
  | 'hang'
  | 'twice'
  | 'garbage'
  | 'instead'
  | { status: number; body: string; after?: boolean; early?: boolean }
  | { hostile: (outgoing: ServerResponse, incoming: IncomingMessage) => void }
  | { etag: string }
  | { headers: Record<string, string> };

export interface Seen {
  method: string;
  url: string;
  fault: Fault | undefined;
}

export interface FaultyProxy {
  endpoint: string;
  /** Asked for each request; undefined passes it on. */
  fault: (method: string, url: string, headers: IncomingHttpHeaders) => Fault | undefined;
  /** Method and URL of each request so far. */
  seen: string[];
  /** The same, each with what was done to it. */
  log: Seen[];
  /** What the fault `instead` does. */
  instead: (url: string) => Promise<void>;
  /** Connections from the client that are open. */
  connections(): Promise<number>;
  stop(): Promise<void>;
}

export async function startFaultyProxy(upstream: string): Promise<FaultyProxy> {
  const server = createServer((incoming, outgoing) => {
    const { method = '', url = '', headers } = incoming;
    const fault = proxy.fault(method, url, headers);
    proxy.seen.push(`${method} ${url}`);
    proxy.log.push({ method, url, fault });
    // A client that goes away in the middle is what these tests are made of.
    handle({ incoming, outgoing, upstream, instead: proxy.instead }, fault).catch(() =>
      incoming.socket.destroy(),
    );
  });
  const proxy: FaultyProxy = {
    endpoint: '',
    fault: () => undefined,
    instead: () => Promise.resolve(),
    seen: [],
    log: [],
    connections: () =>
      new Promise((resolve, reject) => {
        server.getConnections((error, count) => (error ? reject(error) : resolve(count)));
      }),
    stop: () => {
      server.closeAllConnections();
      return new Promise((resolve) => server.close(() => resolve()));
    },
  };
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  proxy.endpoint = `http://127.0.0.1:${(server.address() as AddressInfo).port}`;
  return proxy;
}

/** Returns a port of this host on which nothing listens. */
export async function closedPort(): Promise<number> {
  const server = createServer();
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  const { port } = server.address() as AddressInfo;
  await new Promise<void>((resolve) => server.close(() => resolve()));
  await new Promise<void>((resolve, reject) => {
    const probe = connect(port, '127.0.0.1', () => reject(new Error(`port ${port} is open`)));
    probe.once('error', () => resolve());
  });
  return port;
}

interface Exchange {
  incoming: IncomingMessage;
  outgoing: ServerResponse;
  upstream: string;
  instead: (url: string) => Promise<void>;
}

interface Answer {
  status: number;
  headers: IncomingHttpHeaders;
  body: Buffer;
}

async function handle(exchange: Exchange, fault: Fault | undefined): Promise<void> {
  const { incoming, outgoing } = exchange;
  if (fault === 'reset') return void incoming.socket.destroy();
  if (fault === 'stall') return void incoming.resume();
  if (fault === 'garbage') return void incoming.socket.end('SSH-2.0-OpenSSH_9.2\r\n');
  if (fault === 'instead') {
    await exchange.instead(incoming.url ?? '');
    return void incoming.socket.destroy();
  }
  if (typeof fault === 'object' && 'hostile' in fault) {
    incoming.resume();
    return fault.hostile(outgoing, incoming);
  }
  const isAnswered = typeof fault === 'object' && 'status' in fault;
  if (isAnswered && !fault.after) return answerInstead(exchange, fault);
  const sent = await buffer(incoming);
  if (fault === 'reset-middle') return forwardHalf(exchange, sent);
  if (fault === 'twice') await forward(exchange, sent);
  const answer = await forward(exchange, sent);
  if (fault === 'stall-after') return;
  if (fault === 'lose') return void incoming.socket.destroy();
  if (fault === 'short' || fault === 'cut' || fault === 'closed' || fault === 'hang') {
    return truncate(exchange, answer, fault);
  }
  if (isAnswered) {
    outgoing.writeHead(fault.status);
    outgoing.end(fault.body);
    return;
  }
  outgoing.writeHead(answer.status, { ...answer.headers, ...changedHeaders(fault) });
  outgoing.end(answer.body);
}

async function answerInstead(
  { incoming, outgoing }: Exchange,
  { status, body, early }: { status: number; body: string; early?: boolean },
): Promise<void> {
  if (!early) await buffer(incoming);
  outgoing.writeHead(status, { 'content-length': Buffer.byteLength(body) });
  outgoing.end(incoming.method === 'HEAD' ? '' : body);
}

function changedHeaders(fault: Fault | undefined): Record<string, string> {
  if (typeof fault !== 'object' || 'status' in fault || 'hostile' in fault) return {};
  return 'etag' in fault ? { etag: fault.etag } : fault.headers;
}

function truncate(
  { incoming, outgoing }: Exchange,
  { status, headers, body }: Answer,
  how: 'short' | 'cut' | 'closed' | 'hang',
): void {
  const { socket } = incoming;
  if (body.length === 0) return void socket.end(`HTTP/1.1 ${status} OK\r\nContent-Le`);
  const { 'content-length': _length, 'transfer-encoding': _encoding, ...rest } = headers;
  const half = body.subarray(0, Math.floor(body.length / 2));
  const length = how === 'short' || how === 'hang' ? { 'content-length': body.length } : {};
  if (how === 'closed') {
    outgoing.useChunkedEncodingByDefault = false;
    outgoing.shouldKeepAlive = false;
    outgoing.removeHeader('transfer-encoding');
    outgoing.writeHead(status, { ...rest, connection: 'close' });
    outgoing.end(half);
    return;
  }
  outgoing.writeHead(status, { ...rest, ...length });
  outgoing.write(half, () => (how === 'hang' ? undefined : socket.destroy()));
}

/** Sends the server the head and 50% of the body, then breaks the connection on both sides. */
function forwardHalf({ incoming, upstream }: Exchange, sent: Buffer): Promise<void> {
  const { method, headers, url, socket } = incoming;
  return new Promise((resolve) => {
    const onward = request(upstream + url, { method, headers, agent: false });
    onward.on('error', () => undefined);
    onward.once('close', () => {
      socket.destroy();
      resolve();
    });
    onward.write(sent.subarray(0, Math.floor(sent.length / 2)), () => onward.destroy());
  });
}

function forward({ incoming, upstream }: Exchange, sent: Buffer): Promise<Answer> {
  const { method, headers, url } = incoming;
  const { expect: _expect, 'transfer-encoding': _encoding, ...rest } = headers;
  return new Promise((resolve, reject) => {
    // The Host header goes on as it came, since the signature covers it.
    const onward = request(upstream + url, { method, headers: rest }, (answer) => {
      buffer(answer).then(
        (body) => resolve({ status: answer.statusCode ?? 0, headers: answer.headers, body }),
        reject,
      );
    });
    onward.on('error', reject);
    onward.end(sent);
  });
}
