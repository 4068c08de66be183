// Reads the settings of the AWS command line from environment and profiles: endpoint, region, profile, authorities.
import {
  loadConfig,
  loadSharedConfigFiles,
  NODE_REGION_CONFIG_FILE_OPTIONS,
  NODE_REGION_CONFIG_OPTIONS,
} from '@smithy/core/config';
import { PublishError } from '../../core/errors.ts';

/** The server of a bucket, and the credentials. Options left out come from the environment and the AWS profile. */
export interface S3Options {
  endpoint?: string | null | undefined;
  region?: string | null | undefined;
  profile?: string | null | undefined;
  /** `endpoint/bucket/key` instead of `bucket.endpoint/key`; by default if an endpoint is set. */
  pathStyle?: boolean | null | undefined;
  /** PEM file of an authority that is trusted in addition to the usual ones. */
  caFile?: string | null | undefined;
}

/** A setting in the SDK's form: from an environment variable, the profile, or else `default`. */
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
 * Returns the first of AWS_ENDPOINT_URL_S3, AWS_ENDPOINT_URL, and the profile's endpoint_url, of its
 * services section or its own: the order of the AWS command line.
 * @throws CONFIG if the profile names a services section that is missing
 */
export async function findEndpoint(profile: { profile?: string }): Promise<string | undefined> {
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
  throw configError(
    `the AWS profile names the services section ${missing}, which is missing`,
    'correct services in ~/.aws/config, or set --endpoint',
  );
}

/** @throws CONFIG if no AWS file has this profile */
export async function assertProfile(name: string): Promise<void> {
  const { configFile, credentialsFile } = await loadSharedConfigFiles();
  if (name in configFile || name in credentialsFile) return;
  throw configError(
    `there is no AWS profile ${name} in ~/.aws/config or ~/.aws/credentials`,
    'correct --profile',
  );
}

/** @throws CONFIG if there is neither a region nor an endpoint */
export async function findRegion(
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
    // A server with an endpoint of its own has no regions, but the signature must name one.
    if (endpoint) return 'us-east-1';
    throw new PublishError('CONFIG', 'no region is known for S3', {
      step: 'registry',
      cause: error,
      hint: 'set AWS_REGION or --region',
    });
  }
}

/** Returns AWS_CA_BUNDLE, or the profile's ca_bundle. */
export async function findCaFile(profile: { profile?: string }): Promise<string | undefined> {
  return (await loadConfig(CA_FILE, profile)()) ?? undefined;
}

/** @throws CONFIG if it is no URL, or holds a password */
export function checkEndpoint(endpoint: string): void {
  const url = URL.canParse(endpoint) ? new URL(endpoint) : undefined;
  if (url === undefined || !/^https?:$/.test(url.protocol)) {
    throw configError(
      'the S3 endpoint must be a URL such as https://s3.example.org',
      'correct --endpoint or AWS_ENDPOINT_URL_S3',
    );
  }
  if (url.username !== '' || url.password !== '') {
    throw configError(
      'the S3 endpoint must not hold a user or a password',
      'set AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY, or --profile',
    );
  }
}

function configError(message: string, hint: string): PublishError {
  return new PublishError('CONFIG', message, { step: 'registry', hint });
}
