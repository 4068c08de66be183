// The connections to a server: whom they trust, and the proxy that they go through.
import { readFile } from 'node:fs/promises';
import type { Agent as HttpAgent } from 'node:http';
import { Agent as HttpsAgent } from 'node:https';
import { createSecureContext, rootCertificates } from 'node:tls';
import { getProxyForUrl } from 'proxy-from-env';
import { messageOf, PublishError } from '../../../core/errors.ts';
import { PausingAgent } from './pausing-agent.ts';

export interface Agents {
  http: HttpAgent;
  https: HttpAgent;
  /** For messages: without user and password; undefined if there is none. */
  proxy: string | undefined;
}

const MAX_SOCKETS = 128;

/**
 * Connections for the server at `url`, through the proxy that HTTPS_PROXY, HTTP_PROXY or ALL_PROXY
 * names for it, unless NO_PROXY has its host.
 * @throws CONFIG if the file of authorities, or the proxy's URL, cannot be read
 */
export async function makeAgents(url: string, caFile: string | undefined): Promise<Agents> {
  const ca = await trusted(caFile);
  const sockets = { keepAlive: true, maxSockets: MAX_SOCKETS };
  // NOTE: given the authorities themselves, Node would read all of them for each connection: 15 ms.
  const trust = ca === undefined ? {} : { secureContext: createSecureContext({ ca }) };
  const options = { ...sockets, ...trust };
  const proxy = proxyOf(url);
  if (proxy === undefined)
    return { http: new PausingAgent(sockets), https: new HttpsAgent(options), proxy };
  const { proxyAgents } = await import('./proxy-agents.ts');
  return { ...proxyAgents(proxy, options), proxy: proxy.origin };
}

/** PEMs of the usual authorities and the one of the file; undefined if there is no file. */
export async function trusted(caFile: string | null | undefined): Promise<string[] | undefined> {
  return caFile ? [...rootCertificates, await readCa(caFile)] : undefined;
}

function proxyOf(url: string): URL | undefined {
  const proxy = getProxyForUrl(url);
  if (proxy === '') return undefined;
  const parsed = URL.canParse(proxy) ? new URL(proxy) : undefined;
  if (parsed !== undefined && /^https?:$/.test(parsed.protocol)) return parsed;
  throw configError(
    'the proxy in HTTPS_PROXY, HTTP_PROXY or ALL_PROXY must be a URL such as http://proxy.example.org:3128',
    'correct that variable, or name the host in NO_PROXY',
  );
}

async function readCa(file: string): Promise<string> {
  try {
    return await readFile(file, 'utf8');
  } catch (error) {
    throw configError(
      `the CA file ${file} cannot be read: ${messageOf(error)}`,
      'correct --ca-file or AWS_CA_BUNDLE',
    );
  }
}

function configError(message: string, hint: string): PublishError {
  return new PublishError('CONFIG', message, { step: 'registry', hint });
}
