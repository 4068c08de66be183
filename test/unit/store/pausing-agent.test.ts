// `PausingAgent` pauses a connection before it is reused, unless a request waits for one.
import { createServer, get, type Server } from 'node:http';
import type { AddressInfo } from 'node:net';
import { setTimeout as sleep } from 'node:timers/promises';
import { afterEach, beforeEach, describe, expect, test } from 'vitest';
import { PausingAgent } from '#built/store/s3/connections/pausing-agent.js';

describe('PausingAgent', () => {
  let server: Server;
  /** The client's port of each request, in turn. */
  let ports: (number | undefined)[];

  beforeEach(async () => {
    ports = [];
    server = createServer((request, response) => {
      ports.push(request.socket.remotePort);
      response.end('whole');
    });
    await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  });

  afterEach(() => {
    server.closeAllConnections();
    server.close();
  });

  const ask = (agent: PausingAgent) =>
    new Promise<void>((resolve, reject) => {
      const { port } = server.address() as AddressInfo;
      get({ port, agent }, (answer) => answer.resume().once('end', resolve)).once('error', reject);
    });

  test('`PausingAgent` opens a second connection rather than reuse one at once, and reuses it later', async () => {
    const agent = new PausingAgent({ keepAlive: true });
    await ask(agent);
    await ask(agent);
    expect(new Set(ports).size).toBe(2);
    await sleep(200);
    await ask(agent);
    expect(ports.slice(0, 2)).toContain(ports[2]);
    agent.destroy();
  });

  test('`PausingAgent` gives a waiting request the free connection at once', async () => {
    const agent = new PausingAgent({ keepAlive: true, maxSockets: 1 });
    await Promise.all([ask(agent), ask(agent), ask(agent)]);
    await ask(agent);
    expect(ports.length).toBe(4);
    expect(new Set(ports).size).toBe(1);
    agent.destroy();
  });

  test('`PausingAgent` does not reuse a connection that the server closed during its pause', async () => {
    const agent = new PausingAgent({ keepAlive: true });
    await ask(agent);
    server.closeAllConnections();
    await sleep(200);
    await ask(agent);
    expect(new Set(ports).size).toBe(2);
    agent.destroy();
  });
});
