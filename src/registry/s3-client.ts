// The only importer of the AWS SDK: one client, set up so that no request is tried twice behind our back.
import { readFile } from 'node:fs/promises';
import { Agent as HttpAgent } from 'node:http';
import { Agent as HttpsAgent } from 'node:https';
import { rootCertificates } from 'node:tls';
import {
  GetObjectCommand,
  type GetObjectCommandInput,
  HeadBucketCommand,
  S3,
  type S3ClientConfig,
} from '@aws-sdk/client-s3';
import { messageOf, PublishError } from '../errors.ts';

export type { S3 };

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

/** At most; less where a whole request may take no longer. */
const CONNECT_TIMEOUT_MS = 10_000;
const MAX_SOCKETS = 128;

/**
 * Makes the client. No request is made yet, no credential looked up. `requestMs` is the longest
 * that a connection may take to come about.
 * @throws CONFIG where an option cannot be used.
 */
export async function createS3Client(options: S3Options, requestMs: number): Promise<S3> {
  const sockets = await makeAgents(options);
  const connectMs = Math.min(CONNECT_TIMEOUT_MS, requestMs);
  const config = await clientConfig(options, connectMs, sockets);
  const make = (others: S3ClientConfig = {}) => {
    const client = new S3({ ...config, ...others });
    agents.set(client, sockets);
    return client;
  };
  const client = make();
  try {
    await client.config.region();
    return client;
  } catch (error) {
    // A server of one's own has no regions, but the signature must name one.
    if (options.endpoint) return make({ region: 'us-east-1' });
    throw new PublishError('CONFIG', 'No region is known for S3; set AWS_REGION or --region.', {
      step: 'registry',
      cause: error,
    });
  }
}

interface Agents {
  http: HttpAgent;
  https: HttpsAgent;
}

const agents = new WeakMap<S3, Agents>();

/** The connections of a client, for requests that go past it. */
export function agentsOf(client: S3): Agents | undefined {
  return agents.get(client);
}

async function clientConfig(
  options: S3Options,
  connectMs: number,
  { http, https }: Agents,
): Promise<S3ClientConfig> {
  const { endpoint, region, profile, pathStyle } = options;
  return {
    maxAttempts: 1,
    // NOTE: the SDK warns on the console of each body it cannot send again; we open a new one.
    logger: { debug: ignore, info: ignore, warn: ignore, error: ignore },
    // NOTE: bodies of known length and no SDK checksum: with its default the SDK sends a trailer
    // that Ceph 16 refuses and Ceph 18 stores as a content-encoding, and its CRC in JavaScript
    // halves the rate. Content-MD5 is what every server checks.
    requestChecksumCalculation: 'WHEN_REQUIRED',
    responseChecksumValidation: 'WHEN_REQUIRED',
    forcePathStyle: pathStyle ?? Boolean(endpoint),
    ...(endpoint ? { endpoint: checkEndpoint(endpoint) } : {}),
    ...(region ? { region } : {}),
    ...(profile ? { profile } : {}),
    requestHandler: {
      connectionTimeout: connectMs,
      // Its warning goes to the console, which is not ours to write on.
      socketAcquisitionWarningTimeout: 2_147_483_647,
      httpAgent: http,
      httpsAgent: https,
    },
  };
}

async function makeAgents({ caFile }: S3Options): Promise<Agents> {
  const ca = await trusted(caFile);
  const sockets = { keepAlive: true, maxSockets: MAX_SOCKETS };
  const https = new HttpsAgent(ca === undefined ? sockets : { ...sockets, ca });
  return { http: new HttpAgent(sockets), https };
}

/** A GET as a value, which a link can be made of. */
export function getObjectCommand(input: GetObjectCommandInput): GetObjectCommand {
  return new GetObjectCommand(input);
}

/** The Date header of an answer; `undefined` where it has none that can be read. */
export async function readServerDate(
  client: S3,
  bucket: string,
  abortSignal: AbortSignal,
): Promise<Date | undefined> {
  const command = new HeadBucketCommand({ Bucket: bucket });
  let header: unknown;
  command.middlewareStack.add(
    (next) => async (args) => {
      const answer = await next(args);
      const { headers = {} } = answer.response as { headers?: Record<string, unknown> };
      header = headers.date;
      return answer;
    },
    { step: 'deserialize', name: 'readServerDate', priority: 'low' },
  );
  await client.send(command, { abortSignal });
  const date = new Date(typeof header === 'string' ? header : Number.NaN);
  return Number.isNaN(date.getTime()) ? undefined : date;
}

const ignore = () => undefined;

function checkEndpoint(endpoint: string): string {
  const url = URL.canParse(endpoint) ? new URL(endpoint) : undefined;
  if (url === undefined || !/^https?:$/.test(url.protocol)) {
    throw configError('The S3 endpoint must be a URL such as https://s3.example.org.');
  }
  if (url.username !== '' || url.password !== '') {
    throw configError(
      'The S3 endpoint must not hold a user or a password; use AWS_* or --profile.',
    );
  }
  return endpoint;
}

/** PEMs of the usual authorities and the one of the file; undefined where there is no file. */
export async function trusted(caFile: string | null | undefined): Promise<string[] | undefined> {
  return caFile ? [...rootCertificates, await readCa(caFile)] : undefined;
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
