// A lock by abstract unix socket: the kernel drops it when its process dies, and the holder itself answers who it is.
import { once } from 'node:events';
import { connect, createServer, type Server } from 'node:net';
import { text } from 'node:stream/consumers';
import { setTimeout as sleep } from 'node:timers/promises';

export interface SocketLock {
  release(): Promise<void>;
}

/** A busy machine may take its time; a stopped process never answers. */
const ASK_TIMEOUT_MS = 2000;
const PAUSE_MS = 50;

/** Takes the lock, and tells `holder` to all who ask; undefined where somebody has it. */
export async function trySocketLock(
  address: string,
  holder: object,
): Promise<SocketLock | undefined> {
  const server = createServer((socket) => {
    socket.on('error', () => socket.destroy());
    socket.end(JSON.stringify(holder));
  });
  try {
    server.listen(address);
    await once(server, 'listening');
  } catch (error) {
    if (isInUse(error)) return undefined;
    throw error;
  }
  server.unref();
  return { release: () => closeServer(server) };
}

/**
 * Who holds the lock. `silent`: somebody who does not answer, as a stopped process.
 *
 * NOTE: a holder that ends while it is asked closes the connection without a word: ask again.
 */
export async function askSocketLock<Holder>(address: string): Promise<Holder | 'free' | 'silent'> {
  const deadline = performance.now() + ASK_TIMEOUT_MS;
  for (;;) {
    const answer = await askOnce<Holder>(address, deadline - performance.now());
    if (answer !== undefined) return answer;
    if (performance.now() >= deadline) return 'silent';
    await sleep(PAUSE_MS);
  }
}

/** Undefined where the connection was closed without an answer, by either side. */
async function askOnce<Holder>(address: string, ms: number): Promise<Holder | 'free' | undefined> {
  const socket = connect(address);
  const deadline = setTimeout(() => socket.destroy(), ms);
  try {
    return JSON.parse(await text(socket)) as Holder;
  } catch (error) {
    const isFree = error instanceof Error && 'code' in error && error.code === 'ECONNREFUSED';
    return isFree ? 'free' : undefined;
  } finally {
    clearTimeout(deadline);
  }
}

function isInUse(error: unknown): boolean {
  return error instanceof Error && 'code' in error && error.code === 'EADDRINUSE';
}

async function closeServer(server: Server): Promise<void> {
  await new Promise<void>((resolve) => server.close(() => resolve()));
}
