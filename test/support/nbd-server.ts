// Serves an image over NBD, with the real qemu-nbd.
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { type AddressInfo, connect, createServer } from 'node:net';
import { cleanUpLater } from './cleanup.ts';
import { waitFor } from './wait.ts';

/** Starts a server on a free port of 127.0.0.1; it ends with its test file. */
export async function serveNbd(
  path: string,
  { format, name }: { format: 'qcow2' | 'raw'; name: string },
): Promise<{ port: number }> {
  const port = await freePort();
  const server = spawn(
    'qemu-nbd',
    ['--persistent', '-f', format, '-x', name, '-b', '127.0.0.1', '-p', String(port), path],
    { stdio: 'ignore' },
  );
  cleanUpLater(server, async () => {
    if (server.exitCode !== null) return;
    server.kill('SIGKILL');
    await once(server, 'exit');
  });
  await waitFor(`qemu-nbd on port ${port}`, () => answers(port));
  return { port };
}

async function freePort(): Promise<number> {
  const server = createServer().listen(0, '127.0.0.1');
  await once(server, 'listening');
  const { port } = server.address() as AddressInfo;
  server.close();
  await once(server, 'close');
  return port;
}

async function answers(port: number): Promise<boolean> {
  const socket = connect(port, '127.0.0.1');
  const answer = await Promise.race([
    once(socket, 'data').then(() => true),
    once(socket, 'error').then(() => false),
  ]).catch(() => false);
  socket.destroy();
  return answer;
}
