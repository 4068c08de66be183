// Who asks the bucket and through which connections, by the SDK's default chain; the client itself is loaded later.
import { readFile } from 'node:fs/promises';
import type { Agent as HttpAgent } from 'node:http';
import { Agent as HttpsAgent } from 'node:https';
import { createSecureContext, rootCertificates } from 'node:tls';
import { defaultProvider } from '@aws-sdk/credential-provider-node';
import { Sha256 } from '@smithy/core/checksum';
import {
  loadConfig,
  NODE_REGION_CONFIG_FILE_OPTIONS,
  NODE_REGION_CONFIG_OPTIONS,
} from '@smithy/core/config';
import { SignatureV4 } from '@smithy/signature-v4';
import { messageOf, PublishError } from '../errors.ts';
import { RestedAgent } from './rested-agent.ts';

/** Where the bucket is and who asks. What is left out comes from the SDK's default chain. */
export interface S3Options {
  endpoint?: string | null | undefined;
  region?: string | null | undefined;
  profile?: string | null | undefined;
  /** `endpoint/bucket/key` instead of `bucket.endpoint/key`; by default where an endpoint is set. */
  pathStyle?: boolean | null | undefined;
  /** PEM file of an authority that is trusted beside the usual ones. */
  caFile?: string | null | undefined;
}

export interface S3Access {
  region: string;
  /** Looked up when first asked for, and again when they expire. */
  credentials: ReturnType<typeof defaultProvider>;
  http: HttpAgent;
  https: HttpsAgent;
}

const MAX_SOCKETS = 128;
const CONNECT_TIMEOUT_MS = 10_000;

/**
 * Makes no request and looks up no credential.
 * @throws CONFIG where an option cannot be used.
 */
export async function openAccess(options: S3Options): Promise<S3Access> {
  if (options.endpoint) checkEndpoint(options.endpoint);
  const profile = options.profile ? { profile: options.profile } : {};
  return {
    ...(await makeAgents(options)),
    region: await findRegion(options, profile),
    credentials: defaultProvider(profile),
  };
}

/** How long a connection may take at most; less where a whole request may take no longer. */
export function connectMs(requestMs: number): number {
  return Math.min(CONNECT_TIMEOUT_MS, requestMs);
}

/** Signs requests in the access's name. */
export function requestSigner({ region, credentials }: S3Access): SignatureV4 {
  return new SignatureV4({
    ...{ service: 's3', region, credentials, sha256: Sha256 },
    // A key is signed as it is sent.
    uriEscapePath: false,
  });
}

/** PEMs of the usual authorities and the one of the file; undefined where there is no file. */
export async function trusted(caFile: string | null | undefined): Promise<string[] | undefined> {
  return caFile ? [...rootCertificates, await readCa(caFile)] : undefined;
}

async function findRegion(
  { region, endpoint }: S3Options,
  profile: { profile?: string },
): Promise<string> {
  if (region) return region;
  const lookUp = loadConfig(NODE_REGION_CONFIG_OPTIONS, {
    ...NODE_REGION_CONFIG_FILE_OPTIONS,
    ...profile,
  });
  try {
    return await lookUp();
  } catch (error) {
    // A server of one's own has no regions, but the signature must name one.
    if (endpoint) return 'us-east-1';
    throw new PublishError('CONFIG', 'No region is known for S3; set AWS_REGION or --region.', {
      step: 'registry',
      cause: error,
    });
  }
}

async function makeAgents({ caFile }: S3Options): Promise<Pick<S3Access, 'http' | 'https'>> {
  const ca = await trusted(caFile);
  const sockets = { keepAlive: true, maxSockets: MAX_SOCKETS };
  // NOTE: given the authorities themselves, Node would read all of them for each connection: 15 ms.
  const trust = ca === undefined ? {} : { secureContext: createSecureContext({ ca }) };
  const https = new HttpsAgent({ ...sockets, ...trust });
  return { http: new RestedAgent(sockets), https };
}

function checkEndpoint(endpoint: string): void {
  const url = URL.canParse(endpoint) ? new URL(endpoint) : undefined;
  if (url === undefined || !/^https?:$/.test(url.protocol)) {
    throw configError('The S3 endpoint must be a URL such as https://s3.example.org.');
  }
  if (url.username !== '' || url.password !== '') {
    throw configError(
      'The S3 endpoint must not hold a user or a password; use AWS_* or --profile.',
    );
  }
}

async function readCa(file: string): Promise<string> {
  try {
    return await readFile(file, 'utf8');
  } catch (error) {
    throw configError(`The CA file ${file} cannot be read: ${messageOf(error)}.`);
  }
}

function configError(message: string): PublishError {
  return new PublishError('CONFIG', message, { step: 'registry' });
}
