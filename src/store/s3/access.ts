// Who asks the bucket, and where it is: what was said here, else what the environment and the AWS profile say.
import type { Agent as HttpAgent } from 'node:http';
import { defaultProvider } from '@aws-sdk/credential-provider-node';
import {
  loadConfig,
  loadSharedConfigFiles,
  NODE_REGION_CONFIG_FILE_OPTIONS,
  NODE_REGION_CONFIG_OPTIONS,
} from '@smithy/core/config';
import { PublishError } from '../../core/errors.ts';
import { type Agents, makeAgents } from './agents.ts';

/** Where the bucket is and who asks. What is left out comes from the environment and the AWS profile. */
export interface S3Options {
  endpoint?: string | null | undefined;
  region?: string | null | undefined;
  profile?: string | null | undefined;
  /** `endpoint/bucket/key` instead of `bucket.endpoint/key`; by default where an endpoint is set. */
  pathStyle?: boolean | null | undefined;
  /** PEM file of an authority that is trusted beside the usual ones. */
  caFile?: string | null | undefined;
}

/** What a bucket's store is opened with. */
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
  /** Looked up when first asked for, and again when they expire. */
  credentials: ReturnType<typeof defaultProvider>;
}

const CONNECT_TIMEOUT_MS = 10_000;
/** A program or service that gives credentials; one that hangs would be asked again by every try. */
const CREDENTIALS_MS = 20_000;

/**
 * Makes no request and looks up no credential.
 * @throws CONFIG where an option cannot be used.
 */
export async function openAccess(options: S3Options): Promise<S3Access> {
  const profile = options.profile ? { profile: options.profile } : {};
  if (options.profile) await assertProfile(options.profile);
  const endpoint = options.endpoint ?? (await findEndpoint(profile));
  if (endpoint) checkEndpoint(endpoint);
  const region = await findRegion({ ...options, endpoint }, profile);
  const caFile = options.caFile ?? (await loadConfig(CA_FILE, profile)()) ?? undefined;
  const agents = await makeAgents(endpoint ?? `https://s3.${region}.amazonaws.com`, caFile);
  const credentials = defaultProvider({
    ...profile,
    // NOTE: it would warn on the console where both a profile and keys are set.
    logger: SILENT,
    ...(await tokenClients(`https://sts.${region}.amazonaws.com`, caFile)),
  });
  return { ...agents, endpoint, region, caFile, credentials: inTime(credentials) };
}

/** @throws REGISTRY where the look-up takes too long */
function inTime(lookUp: S3Access['credentials']): S3Access['credentials'] {
  return async (...properties) => {
    let giveUp: NodeJS.Timeout | undefined;
    const late = new Promise<never>((_resolve, reject) => {
      giveUp = setTimeout(() => reject(noCredentials()), CREDENTIALS_MS);
    });
    try {
      return await Promise.race([lookUp(...properties), late]);
    } finally {
      clearTimeout(giveUp);
    }
  };
}

function noCredentials(): PublishError {
  const message = `no credentials were given within ${CREDENTIALS_MS / 1000} s: a metadata service, or the credential_process of a profile, does not answer; set AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY, or --profile`;
  return new PublishError('REGISTRY', message, { step: 'registry' });
}

/** How long a connection may take at most; less where a whole request may take no longer. */
export function connectMs(requestMs: number): number {
  return Math.min(CONNECT_TIMEOUT_MS, requestMs);
}

const ignore = () => undefined;
const SILENT = { debug: ignore, info: ignore, warn: ignore, error: ignore };

/** A setting as the SDK describes it: by environment variable, by profile, else as `default`. */
interface Setting<T> {
  environmentVariableSelector: (env: Record<string, string | undefined>) => T | undefined;
  configFileSelector: (
    profile: Record<string, string | undefined>,
    file?: Record<string, Record<string, string | undefined>>,
  ) => T | undefined;
  default: T;
}

const CA_FILE: Setting<string | null> = {
  environmentVariableSelector: ({ AWS_CA_BUNDLE }) => AWS_CA_BUNDLE,
  configFileSelector: ({ ca_bundle }) => ca_bundle,
  default: null,
};

const IGNORES_ENDPOINTS: Setting<boolean> = {
  environmentVariableSelector: ({ AWS_IGNORE_CONFIGURED_ENDPOINT_URLS: text }) => isTrue(text),
  configFileSelector: ({ ignore_configured_endpoint_urls: text }) => isTrue(text),
  default: false,
};

function isTrue(text: string | undefined): boolean | undefined {
  return text === undefined ? undefined : text.toLowerCase() === 'true';
}

/**
 * AWS_ENDPOINT_URL_S3, AWS_ENDPOINT_URL, then of the profile the endpoint_url of its services section
 * and its own: the order of the AWS command line.
 */
async function findEndpoint(profile: { profile?: string }): Promise<string | undefined> {
  if (await loadConfig(IGNORES_ENDPOINTS, profile)()) return undefined;
  let missing: string | undefined;
  const setting: Setting<string | null> = {
    environmentVariableSelector: (env) => env.AWS_ENDPOINT_URL_S3 || env.AWS_ENDPOINT_URL,
    configFileSelector: ({ services, endpoint_url }, file = {}) => {
      const section = services === undefined ? {} : file[`services.${services}`];
      if (section === undefined) missing = services;
      return section?.['s3.endpoint_url'] ?? endpoint_url;
    },
    default: null,
  };
  const found = await loadConfig(setting, profile)();
  if (missing === undefined) return found ?? undefined;
  throw configError(`the AWS profile names the services section ${missing}, which is missing`);
}

async function assertProfile(name: string): Promise<void> {
  const { configFile, credentialsFile } = await loadSharedConfigFiles();
  if (name in configFile || name in credentialsFile) return;
  throw configError(
    `there is no AWS profile ${name} in ~/.aws/config or ~/.aws/credentials; correct --profile`,
  );
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

/** For the services that give tokens to a role or a login, which are asked in the same ways. */
async function tokenClients(url: string, caFile: string | undefined) {
  const { http, https, proxy } = await makeAgents(url, caFile);
  if (proxy === undefined && caFile === undefined) return {};
  const requestHandler: { httpAgent: HttpAgent; httpsAgent: HttpAgent } = {
    httpAgent: http,
    httpsAgent: https,
  };
  return { clientConfig: { requestHandler } };
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

function configError(message: string): PublishError {
  return new PublishError('CONFIG', message, { step: 'registry' });
}
