// A proxy in front of the real S3 server that spoils the requests it is told to.
import { createServer, type IncomingMessage, request, type ServerResponse } from 'node:http';
import { type AddressInfo, connect } from 'node:net';
import { buffer } from 'node:stream/consumers';

/**
 * `lose`: the server acts, the answer is dropped. `reset`: dropped before the server hears of it.
 * An answer: given instead of the server's; with `after`, once the server has acted.
 */
export type Fault =
  | 'lose'
  | 'reset'
  | 'stall'
  | { status: number; body: string; after?: boolean }
  | { etag: string };

export interface FaultyProxy {
  endpoint: string;
  /** Asked for each request; undefined passes it on. */
  fault: (method: string, url: string) => Fault | undefined;
  /** Method and URL of each request so far. */
  seen: string[];
  stop(): Promise<void>;
}

export async function startFaultyProxy(upstream: string): Promise<FaultyProxy> {
  const seen: string[] = [];
  const server = createServer((incoming, outgoing) => {
    const { method = '', url = '' } = incoming;
    seen.push(`${method} ${url}`);
    void handle(incoming, outgoing, upstream, proxy.fault(method, url));
  });
  const proxy: FaultyProxy = {
    endpoint: '',
    fault: () => undefined,
    seen,
    stop: () => {
      server.closeAllConnections();
      return new Promise((resolve) => server.close(() => resolve()));
    },
  };
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  proxy.endpoint = `http://127.0.0.1:${(server.address() as AddressInfo).port}`;
  return proxy;
}

/** A port of this machine on which nothing listens. */
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

async function handle(
  incoming: IncomingMessage,
  outgoing: ServerResponse,
  upstream: string,
  fault: Fault | undefined,
): Promise<void> {
  if (fault === 'reset') return void incoming.socket.destroy();
  if (fault === 'stall') return;
  const spoils = typeof fault === 'object' && 'status' in fault;
  if (spoils && !fault.after) {
    incoming.resume();
    outgoing.writeHead(fault.status, { connection: 'close' });
    outgoing.end(fault.body);
    return;
  }
  const { status, headers, body } = await forward(incoming, upstream);
  if (fault === 'lose') return void incoming.socket.destroy();
  if (spoils) {
    outgoing.writeHead(fault.status);
    outgoing.end(fault.body);
    return;
  }
  outgoing.writeHead(status, { ...headers, ...(fault === undefined ? {} : { etag: fault.etag }) });
  outgoing.end(body);
}

function forward(incoming: IncomingMessage, upstream: string) {
  const { method, headers, url } = incoming;
  return new Promise<{ status: number; headers: object; body: Buffer }>((resolve, reject) => {
    // The Host header goes on as it came, since the signature covers it.
    const onward = request(upstream + url, { method, headers }, (answer) => {
      buffer(answer).then(
        (body) => resolve({ status: answer.statusCode ?? 0, headers: answer.headers, body }),
        reject,
      );
    });
    onward.on('error', reject);
    incoming.pipe(onward);
  });
}
