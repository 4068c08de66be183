// Opens the access to a bucket: its server, the connections to it, and the credentials.
import type { Agent as HttpAgent } from 'node:http';
import { defaultProvider } from '@aws-sdk/credential-provider-node';
import { PublishError } from '../../core/errors.ts';
import {
  assertProfile,
  checkEndpoint,
  findCaFile,
  findEndpoint,
  findRegion,
  type S3Options,
} from './aws-settings.ts';
import { type Agents, makeAgents } from './connections/agents.ts';

/** The settings that a bucket's store is opened with. */
export interface S3StoreOptions extends S3Options {
  bucket: string;
  /** Without slashes at its ends; empty for the whole bucket. */
  prefix: string;
  /** The longest that one request may take, and that an object's data may pause. */
  requestMs: number;
  /** The longest that sending one part, and completing an upload, may take. */
  partMs: number;
}

export interface S3Access extends Agents {
  /** The server's URL; undefined for AWS itself. */
  endpoint: string | undefined;
  region: string;
  caFile: string | undefined;
  /** Looked up at the first request, and again when they expire. */
  credentials: ReturnType<typeof defaultProvider>;
}

const CONNECT_TIMEOUT_MS = 10_000;
/** Deadline of a program or service that returns credentials; else each retry would wait for one that hangs. */
const CREDENTIALS_MS = 20_000;

/**
 * Makes no request and looks up no credential.
 * @throws CONFIG if an option cannot be used
 */
export async function openAccess(options: S3Options): Promise<S3Access> {
  const profile = options.profile ? { profile: options.profile } : {};
  if (options.profile) await assertProfile(options.profile);
  const endpoint = options.endpoint ?? (await findEndpoint(profile));
  if (endpoint) checkEndpoint(endpoint);
  const region = await findRegion({ ...options, endpoint }, profile);
  const caFile = options.caFile ?? (await findCaFile(profile));
  const agents = await makeAgents(endpoint ?? `https://s3.${region}.amazonaws.com`, caFile);
  const credentials = defaultProvider({
    ...profile,
    // NOTE: it would warn on the console if both a profile and keys are set.
    logger: SILENT,
    ...(await tokenClients(`https://sts.${region}.amazonaws.com`, caFile)),
  });
  return { ...agents, endpoint, region, caFile, credentials: withTimeLimit(credentials) };
}

/** @throws REGISTRY if the look-up takes too long */
function withTimeLimit(lookUp: S3Access['credentials']): S3Access['credentials'] {
  return async (...properties) => {
    let abandon: NodeJS.Timeout | undefined;
    const late = new Promise<never>((_resolve, reject) => {
      abandon = setTimeout(() => reject(noCredentials()), CREDENTIALS_MS);
    });
    try {
      return await Promise.race([lookUp(...properties), late]);
    } finally {
      clearTimeout(abandon);
    }
  };
}

function noCredentials(): PublishError {
  const message = `no credentials were given within ${CREDENTIALS_MS / 1000} s: a metadata service, or the credential_process of a profile, does not answer`;
  const hint = 'set AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY, or --profile';
  return new PublishError('REGISTRY', message, { step: 'registry', hint });
}

/** Returns the longest that opening a connection may take: no longer than a whole request. */
export function connectMs(requestMs: number): number {
  return Math.min(CONNECT_TIMEOUT_MS, requestMs);
}

const ignore = () => undefined;
const SILENT = { debug: ignore, info: ignore, warn: ignore, error: ignore };

/** Returns the clients of services that issue tokens: with the same proxy and the same authorities. */
async function tokenClients(url: string, caFile: string | undefined) {
  const { http, https, proxy } = await makeAgents(url, caFile);
  if (proxy === undefined && caFile === undefined) return {};
  const requestHandler: { httpAgent: HttpAgent; httpsAgent: HttpAgent } = {
    httpAgent: http,
    httpsAgent: https,
  };
  return { clientConfig: { requestHandler } };
}
