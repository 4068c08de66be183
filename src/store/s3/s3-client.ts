// The only importer of the AWS SDK's S3 client, set up so that the SDK retries no request.
import { Readable } from 'node:stream';
import {
  AbortMultipartUploadCommand,
  CompleteMultipartUploadCommand,
  CreateMultipartUploadCommand,
  DeleteObjectCommand,
  GetObjectCommand,
  type GetObjectCommandInput,
  HeadBucketCommand,
  HeadObjectCommand,
  ListMultipartUploadsCommand,
  ListObjectsV2Command,
  ListPartsCommand,
  PutObjectCommand,
  S3Client,
  UploadPartCommand,
  UploadPartCopyCommand,
  type S3 as WholeS3,
} from '@aws-sdk/client-s3';
import { connectMs, type S3Access } from './access.ts';
import type { S3Options } from './aws-settings.ts';
import { type ScannedObject, scanList } from './list-scan/scan-list.ts';
import { assertShallow, NotS3Answer, readBounded } from './xml-guard.ts';

/**
 * The requests that are made here. NOTE: the SDK's own `S3` has a hundred, with the shape of each:
 * loading those takes as long as all the rest of it.
 */
const COMMANDS = {
  abortMultipartUpload: AbortMultipartUploadCommand,
  completeMultipartUpload: CompleteMultipartUploadCommand,
  createMultipartUpload: CreateMultipartUploadCommand,
  deleteObject: DeleteObjectCommand,
  getObject: GetObjectCommand,
  headObject: HeadObjectCommand,
  listMultipartUploads: ListMultipartUploadsCommand,
  listObjectsV2: ListObjectsV2Command,
  listParts: ListPartsCommand,
  putObject: PutObjectCommand,
  uploadPart: UploadPartCommand,
  uploadPartCopy: UploadPartCopyCommand,
};

/** A client with a method for each of them, as the SDK's. */
export type S3 = S3Client & Pick<WholeS3, keyof typeof COMMANDS>;

/** Makes the client; no request is made. `requestMs`: the longest that a connection may take. */
export function createS3Client(options: S3Options, access: S3Access, requestMs: number): S3 {
  const { endpoint, pathStyle } = options;
  const { region, credentials, http, https } = access;
  const client = withBoundedAnswers(
    new S3Client({
      region,
      credentials,
      maxAttempts: 1,
      // NOTE: the SDK warns on the console of each body it cannot send again; a retry here opens a new one.
      logger: { debug: ignore, info: ignore, warn: ignore, error: ignore },
      // NOTE: bodies of known length and no SDK checksum: with its default the SDK sends a trailer
      // that Ceph 16 refuses and Ceph 18 stores as a content-encoding. Its CRC in JavaScript also
      // halves the rate. Content-MD5 is what every server checks.
      requestChecksumCalculation: 'WHEN_REQUIRED',
      responseChecksumValidation: 'WHEN_REQUIRED',
      // It would not be waited for, and is one message more for each part.
      expectContinueHeader: false,
      forcePathStyle: pathStyle ?? Boolean(endpoint),
      ...(endpoint ? { endpoint } : {}),
      ...(options.profile ? { profile: options.profile } : {}),
      requestHandler: {
        connectionTimeout: connectMs(requestMs),
        // Its warning goes to the console, which a library must not write to.
        socketAcquisitionWarningTimeout: 2_147_483_647,
        httpAgent: http,
        httpsAgent: https,
      },
    }),
  );
  return withCommands(withScannedKeys(client));
}

interface HttpAnswer {
  statusCode: number;
  body?: Readable | Uint8Array | undefined;
}

/** Every answer but the data of an object is read and looked at before the SDK parses it. */
function withBoundedAnswers(client: S3Client): S3Client {
  client.middlewareStack.add(
    (next, context) => async (args) => {
      const answer = await next(args);
      const response = answer.response as HttpAnswer;
      const { body, statusCode } = response;
      const isData = context.commandName === 'GetObjectCommand' && statusCode < 300;
      if (!isData && body instanceof Readable) {
        const isFailure = statusCode >= 300;
        const isList = context.commandName === LIST && !isFailure;
        const read = readBody(body, isList ? (context as WithKeys) : undefined);
        response.body = Readable.from([await read.catch(emptyIf(isFailure))]);
      }
      return answer;
    },
    // The last of its step is the first to see the answer.
    { step: 'deserialize', name: 'boundAnswers', priority: 'low' },
  );
  return client;
}

const LIST = 'ListObjectsV2Command';

/** Keeps the keys of a page between the answer and the output of one command. */
interface WithKeys {
  scannedKeys?: ScannedObject[];
}

/**
 * Returns what the SDK parses: the whole body, or what remains of a page of keys after `takeKeys`.
 * @throws NotS3Answer
 */
async function readBody(body: Readable, page: WithKeys | undefined): Promise<Buffer> {
  const whole = await readBounded(body);
  const parsed = page === undefined ? whole : takeKeys(whole, page);
  assertShallow(parsed);
  return parsed;
}

/** Takes the keys out of a page, see list-scan/; returns what the SDK still has to parse. */
function takeKeys(page: Buffer, context: WithKeys): Buffer {
  const scanned = scanList(page.toString('utf8'));
  if (scanned === undefined) return page;
  context.scannedKeys = scanned.objects;
  return Buffer.from(scanned.rest);
}

/** Puts the keys of a page into the field of the output that the SDK's parser would have set. */
function withScannedKeys(client: S3Client): S3Client {
  client.middlewareStack.add(
    (next, context) => async (args) => {
      const result = await next(args);
      const { scannedKeys } = context as WithKeys;
      if (scannedKeys !== undefined) Object.assign(result.output, { Contents: scannedKeys });
      return result;
    },
    // Outside the SDK's logger, which copies every output even if it writes none.
    { step: 'initialize', name: 'withScannedKeys', priority: 'high' },
  );
  return client;
}

/** Which of them it is makes no difference to how it is sent. */
type AnyCommand = new (input: never) => HeadObjectCommand;

function withCommands(client: S3Client): S3 {
  const commands = Object.entries(COMMANDS) as unknown as [string, AnyCommand][];
  const methods = commands.map(([name, Command]) => [
    name,
    (input: never, options: object) => client.send(new Command(input), options),
  ]);
  return Object.assign(client, Object.fromEntries(methods));
}

/** A GET as a value, which a link can be made of. */
export function getObjectCommand(input: GetObjectCommandInput): GetObjectCommand {
  return new GetObjectCommand(input);
}

/** The Date header of an answer; `undefined` if it has none that can be read. */
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

/** The status of a failure decides, not its body, which may be a page of a relay. */
function emptyIf(isFailure: boolean): (error: unknown) => Buffer {
  return (error) => {
    if (isFailure && error instanceof NotS3Answer) return Buffer.alloc(0);
    throw error;
  };
}

const ignore = () => undefined;
