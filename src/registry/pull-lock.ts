// One pull at a time into one file, by a lock that a dead holder cannot keep.
import { createHash } from 'node:crypto';
import { once } from 'node:events';
import { realpath } from 'node:fs/promises';
import { createServer } from 'node:net';
import { basename, dirname, join } from 'node:path';
import { hasCode, PublishError } from '../errors.ts';
import { fileError } from './file-errors.ts';

/**
 * NOTE: an abstract unix socket: the kernel drops it with its process, so no stale lock is left to
 * judge. Its name has 107 bytes at most, hence the digest of the path.
 * @throws USAGE where another process pulls to this file.
 */
export async function lockPull(
  partial: string,
  file: string,
): Promise<{ release(): Promise<void> }> {
  const path = await realpath(dirname(partial)).catch((error: unknown) => {
    throw fileError(error, `Opening the folder of ${file}`, 'pull');
  });
  const digest = createHash('sha256')
    .update(join(path, basename(partial)))
    .digest('hex');
  const server = createServer((socket) => socket.destroy());
  try {
    server.listen(`\0virt-publish/pull/${digest}`);
    await once(server, 'listening');
  } catch (error) {
    if (!hasCode(error, 'EADDRINUSE')) throw error;
    const message = `another process is pulling to ${file}; wait for it, or name another file.`;
    throw new PublishError('USAGE', message, { step: 'pull', cause: error });
  }
  server.unref();
  return { release: () => new Promise((done) => server.close(() => done())) };
}
