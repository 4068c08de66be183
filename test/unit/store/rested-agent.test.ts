// Connections rest before they are used again, unless somebody waits for one.
import { createServer, get, type Server } from 'node:http';
import type { AddressInfo } from 'node:net';
import { setTimeout as sleep } from 'node:timers/promises';
import { afterEach, beforeEach, describe, expect, test } from 'vitest';
import { RestedAgent } from '#built/store/s3/rested-agent.js';

describe('RestedAgent', () => {
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

  const ask = (agent: RestedAgent) =>
    new Promise<void>((resolve, reject) => {
      const { port } = server.address() as AddressInfo;
      get({ port, agent }, (answer) => answer.resume().once('end', resolve)).once('error', reject);
    });

  test('a connection that was just used is left alone, and used again later', async () => {
    const agent = new RestedAgent({ keepAlive: true });
    await ask(agent);
    await ask(agent);
    expect(new Set(ports).size).toBe(2);
    await sleep(200);
    await ask(agent);
    expect(ports.slice(0, 2)).toContain(ports[2]);
    agent.destroy();
  });

  test('whoever waits for a connection gets the one that is free', async () => {
    const agent = new RestedAgent({ keepAlive: true, maxSockets: 1 });
    await Promise.all([ask(agent), ask(agent), ask(agent)]);
    await ask(agent);
    expect(ports.length).toBe(4);
    expect(new Set(ports).size).toBe(1);
    agent.destroy();
  });

  test('one that the server closed while it rested is not used', async () => {
    const agent = new RestedAgent({ keepAlive: true });
    await ask(agent);
    server.closeAllConnections();
    await sleep(200);
    await ask(agent);
    expect(new Set(ports).size).toBe(2);
    agent.destroy();
  });
});
