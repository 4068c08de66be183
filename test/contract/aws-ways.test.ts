// What the AWS command line takes from its environment and profiles, taken in the same way.

import { mkdir, writeFile } from 'node:fs/promises';
import { createServer, request as httpRequest } from 'node:http';
import { type AddressInfo, connect } from 'node:net';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { openRegistry } from '#built/registry/registry.js';
import { type CliResult, makeSandbox, runCli } from '../support/cli.ts';
import { lab } from '../support/lab.ts';
import { s3Env } from '../support/s3.ts';
import { bucketPlace, type Place } from './places.ts';
import { publish } from './publish.ts';

let place: Place;
beforeAll(async () => {
  place = await bucketPlace();
  await publish(await openRegistry(place.url, place.options), { name: 'there' });
});

const { AWS_ENDPOINT_URL_S3: endpoint = '', ...keys } = s3Env();

/** `list` of the registry; no endpoint and no keys but those of `env`. */
async function list(env: Record<string, string>, ...flags: string[]): Promise<CliResult> {
  return runCli(['list', '--json', '--registry', place.url, ...flags], { env });
}

function expectListed({ exitCode, events, stderr, stdout }: CliResult): void {
  expect(exitCode, stderr + stdout).toBe(0);
  expect(events.at(-1)).toMatchObject({ images: [{ name: 'there' }] });
  expect(stderr).toBe('');
}

describe('a profile', () => {
  let env: Record<string, string>;
  beforeAll(async () => {
    const { dir } = await makeSandbox();
    const { AWS_ACCESS_KEY_ID: id, AWS_SECRET_ACCESS_KEY: secret } = keys;
    await mkdir(join(dir, '.aws'));
    const profile = (name: string, ...lines: string[]) =>
      `[profile ${name}]\n${['region = us-east-1', ...lines].join('\n')}\n`;
    const tls = [`endpoint_url = ${lab().s3.tlsEndpoint}`, `ca_bundle = ${lab().s3.caFile}`];
    const config = [
      profile('own', `endpoint_url = ${endpoint}`),
      profile('section', 'services = mine', 'endpoint_url = http://127.0.0.1:1'),
      `[services mine]\ns3 =\n  endpoint_url = ${endpoint}\n`,
      profile('lost', 'services = none'),
      profile('tls', ...tls),
    ].join('\n');
    const credentials = ['own', 'section', 'lost', 'tls']
      .map((name) => `[${name}]\naws_access_key_id = ${id}\naws_secret_access_key = ${secret}\n`)
      .join('\n');
    env = {
      AWS_CONFIG_FILE: join(dir, '.aws/config'),
      AWS_SHARED_CREDENTIALS_FILE: join(dir, '.aws/credentials'),
    };
    await writeFile(env.AWS_CONFIG_FILE ?? '', config);
    await writeFile(env.AWS_SHARED_CREDENTIALS_FILE ?? '', credentials);
  });

  test.each(['own', 'section', 'tls'])(
    '%s gives its endpoint, by flag and by AWS_PROFILE',
    async (name) => {
      expectListed(await list(env, '--profile', name));
      expectListed(await list({ ...env, AWS_PROFILE: name }));
      expectListed(await list({ ...env, VIRT_PUBLISH_S3_PROFILE: name }));
    },
  );

  test('yields to a flag and a variable, and warns of no keys beside it', async () => {
    expectListed(await list({ ...env, ...keys, AWS_PROFILE: 'own' }));
    expectListed(await list(env, '--profile', 'lost', '--endpoint', endpoint));
    const other = { ...env, AWS_ENDPOINT_URL: 'http://127.0.0.1:1' };
    const refused = await list(other, '--profile', 'own', '--config', await noRetries());
    expect(refused.stdout).toContain('127.0.0.1:1');
    expectListed(await list(other, '--profile', 'own', '--endpoint', endpoint));
  });

  test('that is missing, or names a missing section, is named in the error', async () => {
    const missing = await list(env, '--profile', 'nobody');
    expect(missing.exitCode).toBe(2);
    expect(missing.stdout).toContain('there is no AWS profile nobody');
    const lost = await list(env, '--profile', 'lost');
    expect(lost.exitCode).toBe(2);
    expect(lost.stdout).toContain('services section none');
  });
});

test('AWS_ENDPOINT_URL_S3 has precedence over AWS_ENDPOINT_URL, and either is enough', async () => {
  expectListed(await list({ ...keys, AWS_ENDPOINT_URL: endpoint }));
  const both = { AWS_ENDPOINT_URL: 'http://127.0.0.1:1', AWS_ENDPOINT_URL_S3: endpoint };
  expectListed(await list({ ...keys, ...both }));
});

test('AWS_CA_BUNDLE is trusted, for the bucket and for its links', async () => {
  const { tlsEndpoint, caFile } = lab().s3;
  const env = { ...keys, AWS_ENDPOINT_URL: tlsEndpoint };
  expectListed(await list({ ...env, AWS_CA_BUNDLE: caFile }));
  const without = await list(env);
  expect(without.exitCode).toBe(44);
  expect(without.stdout).toContain('AWS_CA_BUNDLE');
});

describe('a proxy', () => {
  const seen: string[] = [];
  const proxy = createServer((incoming, outgoing) => {
    seen.push(`${incoming.method} ${incoming.url}`);
    const { method, headers } = incoming;
    const forward = httpRequest(incoming.url ?? '', { method, headers }, (answer) => {
      outgoing.writeHead(answer.statusCode ?? 502, answer.headers);
      answer.pipe(outgoing);
    });
    incoming.pipe(forward);
  });
  proxy.on('connect', ({ url = '' }, socket) => {
    seen.push(`CONNECT ${url}`);
    const [host, port] = url.split(':');
    const server = connect(Number(port), host, () => {
      socket.write('HTTP/1.1 200 Connection established\r\n\r\n');
      server.pipe(socket).pipe(server);
    });
    for (const each of [server, socket])
      each.on('error', () => [server, socket].map((s) => s.destroy()));
  });
  let url: string;
  beforeAll(async () => {
    await new Promise<void>((resolve) => proxy.listen(0, '127.0.0.1', resolve));
    url = `http://user:hunter2@127.0.0.1:${(proxy.address() as AddressInfo).port}`;
  });
  afterAll(() => void proxy.close());

  test('serves http and https, lists and data, unless NO_PROXY has the host', async () => {
    const plain = { ...keys, AWS_ENDPOINT_URL: endpoint, HTTP_PROXY: url };
    expectListed(await list(plain));
    expect(seen.length).toBeGreaterThan(1);
    const pulled = await runCli(['pull', 'there', '-', '--registry', place.url], { env: plain });
    expect(pulled.exitCode, pulled.stderr).toBe(0);
    expect(seen.filter((line) => line.includes('vda.raw'))).not.toEqual([]);
    seen.length = 0;
    const { tlsEndpoint, caFile } = lab().s3;
    const secure = { ...keys, AWS_ENDPOINT_URL: tlsEndpoint, AWS_CA_BUNDLE: caFile };
    expectListed(await list({ ...secure, HTTPS_PROXY: url }));
    expect(seen[0]).toBe(`CONNECT ${new URL(tlsEndpoint).host}`);
    seen.length = 0;
    const { hostname } = new URL(endpoint);
    expectListed(await list({ ...plain, NO_PROXY: `example.org,${hostname}` }));
    expectListed(await list({ ...plain, HTTP_PROXY: '', HTTPS_PROXY: url }));
    expect(seen).toEqual([]);
  });

  test('that is unreachable is named without its password; one that is no URL is refused', async () => {
    const env = { ...keys, AWS_ENDPOINT_URL: endpoint };
    const dead = { ...env, HTTP_PROXY: 'http://user:hunter2@127.0.0.1:1' };
    const refused = await list(dead, '--config', await noRetries());
    expect(refused.exitCode).toBe(44);
    expect(refused.stdout).toContain('by the proxy http://127.0.0.1:1 cannot be reached');
    expect(refused.stdout).not.toContain('hunter2');
    const odd = await list({ ...env, HTTP_PROXY: 'socks5://127.0.0.1:1' });
    expect(odd.exitCode).toBe(2);
    expect(odd.stdout).toContain('must be a URL such as http://');
  });
});

async function noRetries(): Promise<string> {
  const file = join((await makeSandbox()).dir, 'config.json');
  await writeFile(file, JSON.stringify({ upload: { retries: 0 } }));
  return file;
}

describe('a wait of two seconds is reported', () => {
  const waits = async (env: Record<string, string>, ...flags: string[]) => {
    const sandbox = await makeSandbox();
    const args = ['list', '--json', '--registry', place.url, ...flags];
    const ran = await runCli(args, { sandbox, env, timeoutMs: 7000 });
    const startedAt = Date.parse(String(ran.events[0]?.time));
    expect(String(ran.events[0]?.message)).toMatch(/^waiting for s3:\/\/\S+ at http/);
    return { ran, startedAt };
  };

  test('for a server that accepts connections and does not answer', async () => {
    const silent = createServer(() => undefined);
    await new Promise<void>((resolve) => silent.listen(0, '127.0.0.1', resolve));
    const { port } = silent.address() as AddressInfo;
    const { ran } = await waits({ ...keys, AWS_ENDPOINT_URL: `http://127.0.0.1:${port}` });
    expect(String(ran.events[0]?.message)).toContain('no answer yet');
    silent.closeAllConnections();
    silent.close();
  });

  test('for a server that refuses connections, with the reason', async () => {
    const { ran } = await waits({ ...keys, AWS_ENDPOINT_URL: 'http://127.0.0.1:1' });
    expect(String(ran.events[0]?.message)).toContain('ECONNREFUSED');
  });
});

test('a credential service that hangs ends at a deadline, and the SDK writes nothing to standard error', async () => {
  const silent = createServer(() => undefined);
  await new Promise<void>((resolve) => silent.listen(0, '127.0.0.1', resolve));
  const url = `http://127.0.0.1:${(silent.address() as AddressInfo).port}/`;
  const run = (env: Record<string, string | undefined>) =>
    runCli(['list', '--registry', place.url, '--quiet'], {
      env: { AWS_ENDPOINT_URL: endpoint, ...env },
      timeoutMs: 40_000,
    });
  const [instance, container] = await Promise.all([
    run({ AWS_EC2_METADATA_DISABLED: undefined, AWS_EC2_METADATA_SERVICE_ENDPOINT: url }),
    run({ AWS_CONTAINER_CREDENTIALS_FULL_URI: url }),
  ]);
  silent.closeAllConnections();
  silent.close();
  expect([instance.exitCode, container.exitCode]).toEqual([44, 44]);
  expect(instance.stderr).toContain('no credentials were found');
  expect(container.stderr).toMatch(/^virt-publish: no credentials were given within 20 s/);
});

test('without keys the look-up of an instance role ends with "no credentials"', async () => {
  const started = performance.now();
  const env = { AWS_ENDPOINT_URL: endpoint, AWS_EC2_METADATA_DISABLED: undefined };
  const ran = await runCli(['list', '--registry', place.url], { env });
  expect(ran.exitCode).toBe(44);
  expect(ran.stderr).toContain('no credentials were found');
  expect(performance.now() - started).toBeLessThan(10_000);
});
