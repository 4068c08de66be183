// One run a domain at a time: a lock that a dead holder cannot keep.
import { once } from 'node:events';
import { connect, createServer, type Server } from 'node:net';
import { text } from 'node:stream/consumers';
import { PublishError } from '../errors.ts';

/** Who holds a domain's lock. */
export interface LockHolder {
  runId: string;
  pid: number;
  since: string;
}

export interface DomainLock {
  release(): Promise<void>;
}

const ASK_TIMEOUT_MS = 1000;

/**
 * Takes the lock of a domain, or says who has it.
 *
 * NOTE: the lock is an abstract unix socket. The kernel drops it at the instant its process dies,
 * so there is no stale lock file to judge, and the holder itself answers who it is. It is seen by
 * all processes of one network namespace, whatever their state directory.
 * @throws PublishError DOMAIN_BUSY with the holder's run and pid.
 */
export async function lockDomain(
  domain: { name: string; uuid: string },
  runId: string,
): Promise<DomainLock> {
  const address = `\0virt-publish/domain/${domain.uuid}`;
  const holder: LockHolder = { runId, pid: process.pid, since: new Date().toISOString() };
  const server = createServer((socket) => {
    socket.on('error', () => socket.destroy());
    socket.end(JSON.stringify(holder));
  });
  try {
    server.listen(address);
    await once(server, 'listening');
  } catch (error) {
    if (!isInUse(error)) throw error;
    throw busy(domain.name, await askHolder(address), error);
  }
  server.unref();
  return { release: () => closeServer(server) };
}

async function askHolder(address: string): Promise<LockHolder | undefined> {
  const socket = connect(address);
  const deadline = setTimeout(() => socket.destroy(), ASK_TIMEOUT_MS);
  try {
    return JSON.parse(await text(socket)) as LockHolder;
  } catch {
    // It has just ended, or hangs: that it had the lock is all that is known.
    return undefined;
  } finally {
    clearTimeout(deadline);
  }
}

function busy(name: string, holder: LockHolder | undefined, cause: unknown): PublishError {
  const who = holder
    ? `run ${holder.runId} (process ${holder.pid}, since ${holder.since})`
    : 'another run';
  return new PublishError(
    'DOMAIN_BUSY',
    `domain ${name} is being published by ${who}; wait until it has ended, or end it with SIGTERM`,
    { step: 'inspect', retryable: true, cause },
  );
}

function isInUse(error: unknown): boolean {
  return error instanceof Error && 'code' in error && error.code === 'EADDRINUSE';
}

async function closeServer(server: Server): Promise<void> {
  await new Promise<void>((resolve) => server.close(() => resolve()));
}
