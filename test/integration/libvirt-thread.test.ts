// The thread of a connection: when it keeps the process alive, what it prints, and a libvirtd that hangs or ends.
import { randomUUID } from 'node:crypto';
import { mkdtemp, rm } from 'node:fs/promises';
import { connect, createServer, type Server, type Socket } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { afterEach, beforeEach, describe, expect, test } from 'vitest';
import { openConnection } from '#built/libvirt/connection.js';
import { isConnectionLost } from '#built/libvirt/errors.js';
import { WorkerClient } from '#built/libvirt/ffi/worker-client.js';
import { Host } from '#built/libvirt/host.js';
import type { Ran } from '../support/exec.ts';
import { runScript } from '../support/run-script.ts';

const URI = process.env.LIBVIRT_DEFAULT_URI ?? 'qemu:///system';
const BUILT = new URL('../../build/', import.meta.url).href;

let dir: string;
let servers: { server: Server; sockets: Set<Socket> }[];

beforeEach(async () => {
  dir = await mkdtemp(join(tmpdir(), 'virt-publish-thread-'));
  servers = [];
});

afterEach(async () => {
  for (const { server, sockets } of servers) {
    for (const socket of sockets) socket.destroy();
    await new Promise((resolve) => server.close(resolve));
  }
  await rm(dir, { recursive: true, force: true });
});

describe('a process with a connection', () => {
  test('ends by itself while the connection is idle, and prints no libvirt error', async () => {
    const ended = await runConnecting(`
      const connection = await openConnection('${URI}');
      await connection.lookupByName('there-is-none').catch((error) => console.log(error.code));
    `);
    expect(ended).toEqual({ exitCode: 0, stdout: '42\n', stderr: '' });
  });

  test('does not end while a call is pending', async () => {
    const ended = await runConnecting(`
      const connection = await openConnection('${URI}');
      connection.getLibVersion().then((version) => console.log(version > 0));
    `);
    expect(ended).toEqual({ exitCode: 0, stdout: 'true\n', stderr: '' });
  });

  test('ends with its exit code although a thread hangs in a call', async () => {
    const uri = await silentServer();
    for (const [leave, code] of [
      ['process.exit(7)', 7],
      ['process.exitCode = 8', 8],
      ['throw new Error("unhandled")', 1],
    ] as const) {
      const ended = await runConnecting(`
        await openConnection('${uri}', { callTimeoutMs: 200 }).catch((error) => {
          console.log(error.code, error.message);
        });
        ${leave};
      `);
      expect(ended.exitCode).toBe(code);
      const match = /^LIBVIRT libvirtd does not answer at qemu\+unix:.* (\d+) ms/.exec(
        ended.stdout,
      );
      expect(Number(match?.[1]), ended.stdout).toBeGreaterThanOrEqual(200);
    }
  });

  test('ends with its exit code while a thread still loads its libraries', async () => {
    const delays = Array.from({ length: 12 }, (_, n) => 5 + 6 * n);
    for (const ms of delays) {
      const ended = await runConnecting(`
        openConnection('${URI}').catch(() => undefined);
        setTimeout(() => process.exit(7), ${ms});
      `);
      expect(ended, `after ${ms} ms`).toEqual({ exitCode: 7, stdout: '', stderr: '' });
    }
  });

  test('continues if a call is abandoned before the libraries are loaded', async () => {
    const ended = await runConnecting(`
      const opening = openConnection('${URI}', { callTimeoutMs: 1 });
      await opening.catch((error) => console.log(error.code, error.retryable));
      await (await openConnection('${URI}')).close();
      console.log('whole');
    `);
    expect(ended).toEqual({ exitCode: 0, stdout: 'LIBVIRT true\nwhole\n', stderr: '' });
  });
});

test('after a call that hangs, every other call rejects at once, and `end` resolves', async () => {
  const client = new WorkerClient('a server that is silent', { callTimeoutMs: 200 });
  const opening = client.invoke('open', await silentServer());
  const behind = client.invoke('getLibVersion');
  const answer = { code: 'LIBVIRT', retryable: true, message: /does not answer/ };
  await expect(opening).rejects.toMatchObject({ code: 'LIBVIRT', retryable: true });
  await expect(behind).rejects.toThrow(answer.message);
  await expect(client.invoke('getVersion')).rejects.toThrow(answer.message);
  await client.end();
});

test('the deadline of a call starts when the call runs, not when it is queued', async () => {
  const connection = await openConnection(URI, { callTimeoutMs: 500 });
  const startedAt = performance.now();
  while (performance.now() - startedAt < 700) {
    const calls = Array.from({ length: 500 }, () => connection.getLibVersion());
    expect(new Set(await Promise.all(calls)).size).toBe(1);
  }
  await connection.close();
});

test('a call that waits for a storage has the long limit, and a lookup has the short one', async () => {
  const proxy = await stallingProxy();
  const limits = { callTimeoutMs: 400, longCallTimeoutMs: 60_000 };
  const connection = await openConnection(proxy.uri, limits);
  proxy.stall();
  const saving = connection.lookupByUUIDString(randomUUID()).catch((error: Error) => error.message);
  expect(await Promise.race([saving, sleep(5000)])).toMatch(/a call took longer than \d+ ms/);

  const second = await stallingProxy();
  const client = new WorkerClient(second.uri, limits);
  await client.invoke('open', second.uri);
  second.stall();
  const starting = client.invoke('createWithFlags', randomUUID(), 0).catch(() => 'ended');
  expect(await Promise.race([starting, sleep(1500, 'waits')])).toBe('waits');
  await client.abandon();
  expect(await starting).toBe('ended');
});

test('concurrent first calls to a host open one connection', async () => {
  const proxy = await stallingProxy();
  const host = new Host(proxy.uri, { callMs: 10_000 });
  const found = await Promise.all([host.work(), host.work(), host.domain(randomUUID())]);
  expect(found[0]).toBe(found[1]);
  expect(proxy.count()).toBe(1);
  await host.close();
});

test('`openConnection` rejects with LIBVIRT and a hint if the server hangs up', async () => {
  const uri = await server((socket) => socket.destroy());
  await expect(openConnection(uri)).rejects.toMatchObject({
    code: 'LIBVIRT',
    message: expect.stringMatching(/^cannot connect to libvirt at qemu\+unix:/),
    hint: expect.stringMatching(/^start libvirtd/),
    cause: expect.toSatisfy(isConnectionLost),
  });
});

test('`openConnection` rejects with LIBVIRT and a hint if no server listens', async () => {
  const uri = `qemu+unix:///system?socket=${join(dir, 'nobody')}`;
  await expect(openConnection(uri)).rejects.toMatchObject({
    code: 'LIBVIRT',
    message: expect.stringMatching(/^cannot connect to libvirt at /),
    hint: expect.stringMatching(/^start libvirtd/),
  });
});

test('`openConnection` rejects the URI of another host before it opens a connection', async () => {
  await expect(openConnection('qemu+ssh://kvm7.example/system')).rejects.toMatchObject({
    code: 'CONFIG',
  });
});

interface Proxy {
  uri: string;
  /** Connections so far. */
  count: () => number;
  /** Drops all further answers. */
  stall: () => void;
}

/** Forwards to the libvirtd of this host. */
async function stallingProxy(): Promise<Proxy> {
  const backs: Socket[] = [];
  const uri = await server((socket) => {
    const back = connect('/run/libvirt/libvirt-sock');
    backs.push(back);
    back.on('error', () => socket.destroy());
    socket.on('close', () => back.destroy());
    socket.pipe(back).pipe(socket);
  });
  const stall = () => {
    for (const back of backs) back.unpipe().pause();
  };
  return { uri, count: () => backs.length, stall };
}

/** A server that accepts connections and never answers. */
function silentServer(): Promise<string> {
  return server(() => undefined);
}

async function server(onConnect: (socket: Socket) => void): Promise<string> {
  const path = join(dir, `socket-${servers.length}`);
  const sockets = new Set<Socket>();
  const listening = createServer((socket) => {
    sockets.add(socket);
    // The client closes without a handshake.
    socket.on('error', () => socket.destroy());
    onConnect(socket);
  });
  await new Promise<void>((resolve) => listening.listen(path, resolve));
  servers.push({ server: listening, sockets });
  return `qemu+unix:///system?socket=${path}`;
}

/** The script can open connections. */
function runConnecting(body: string): Promise<Ran> {
  return runScript(`import { openConnection } from '${BUILT}libvirt/connection.js';\n${body}`);
}
