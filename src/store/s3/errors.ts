// Turns a failure of an S3 server or of its network into a PublishError: code, retryable, hint.

import type { ErrorCode } from '../../core/error-catalogue.ts';
import { PublishError, type Step } from '../../core/errors.ts';
import { type Facts, factsOf, systemCode } from './facts.ts';
import { NotS3Answer } from './xml-guard.ts';

/** The facts of a request, for the message. */
export interface S3Request {
  /** For example `storing images/…/vda.qcow2`. */
  doing: string;
  bucket: string;
  /** The server's URL, without credentials. */
  server: string;
  /** With `upload`, failures other than of the bucket, the credentials or the server have code UPLOAD. */
  step: Step;
}

interface Finding {
  code?: ErrorCode;
  retryable?: boolean;
  /** Completes the message that `doing` begins. */
  problem: string;
  /** What to do; the hint of the code if left out. */
  hint?: string;
}

/** Returns what the SDK threw as a PublishError; a PublishError is returned unchanged. */
export function s3Error(error: unknown, request: S3Request): PublishError {
  if (error instanceof PublishError) return error;
  const { name, status, text } = factsOf(error);
  const finding =
    noAnswer(error, request) ??
    byName(name, request) ??
    bySystem(error, name, request) ??
    byStatus({ name, status, text }, request);
  const code = finding.code ?? (request.step === 'upload' ? 'UPLOAD' : 'REGISTRY');
  return new PublishError(code, `${request.doing} failed: ${finding.problem}`, {
    step: request.step,
    retryable: finding.retryable ?? false,
    cause: safeCause(name, status, text),
    ...(finding.hint === undefined ? {} : { hint: finding.hint }),
  });
}

/**
 * Returns true if the server reported that the object does not exist. A 404 without a code (NotFound
 * in the SDK) counts only after HEAD, whose answer has no body: a relay that has lost its server
 * answers 404 too.
 */
export function isMissingKey(error: unknown, isHead = false): boolean {
  const { name } = factsOf(error);
  return name === 'NoSuchKey' || (isHead && name === 'NotFound');
}

/** Returns true if the server reported that the multipart upload does not exist. */
export function isMissingUpload(error: unknown): boolean {
  // Ceph 20 answers ListParts of a missing upload with NoSuchKey.
  const { name } = factsOf(error);
  return name === 'NoSuchUpload' || name === 'NoSuchKey';
}

function noAnswer(error: unknown, { server }: S3Request): Finding | undefined {
  if (!(error instanceof NotS3Answer)) return undefined;
  return {
    problem: `the answer of ${server} is not S3's: ${error.message}`,
    hint: 'check --endpoint',
  };
}

const CREDENTIALS_HINT =
  'check the credentials (AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY, or --profile)';

const CONFLICT = 'another request for the same key was under way';

function byName(name: string, { bucket, server }: S3Request): Finding | undefined {
  switch (name) {
    case 'NoSuchBucket':
      return registry(
        `there is no bucket ${bucket} at ${server}`,
        'make it, or correct --registry',
      );
    case 'InvalidAccessKeyId':
    case 'SignatureDoesNotMatch':
    case 'InvalidToken':
    case 'ExpiredToken':
    case 'TokenRefreshRequired':
      return registry(`${server} refused the credentials (${name})`, CREDENTIALS_HINT);
    case 'CredentialsProviderError':
      return registry('no credentials were found', CREDENTIALS_HINT);
    case 'AccessDenied':
    case 'AllAccessDisabled':
    case 'AccountProblem':
      return registry(
        `${server} denies these credentials access to bucket ${bucket} (${name})`,
        'give them the right to list, read, write and delete there',
      );
    case 'PermanentRedirect':
    case 'AuthorizationHeaderMalformed':
      return registry(
        `bucket ${bucket} is in another region (${name})`,
        'set AWS_REGION or --region',
      );
    case 'RequestTimeTooSkewed':
      // NOTE: the SDK learns the difference from this answer, and the next try is signed with it.
      return {
        ...registry(`the clock of this host differs from the one of ${server}`, 'set the clock'),
        retryable: true,
      };
    case 'PreconditionFailed':
      return { code: 'PRECONDITION_LOST', problem: 'the key exists' };
    case 'ConditionalRequestConflict':
    case 'OperationAborted':
      return { retryable: true, problem: CONFLICT };
    case 'BadDigest':
    case 'IncompleteBody':
    case 'XAmzContentSHA256Mismatch':
      return {
        code: 'INTEGRITY',
        retryable: true,
        problem: `the server received other bytes than were sent (${name})`,
      };
    default:
      return undefined;
  }
}

/** Failures of the way to the server; the codes are Node's and OpenSSL's. */
function bySystem(error: unknown, name: string, { server }: S3Request): Finding | undefined {
  const code = systemCode(error);
  if (code === 'ENOTFOUND')
    return registry(`the host of ${server} is unknown`, 'correct --endpoint');
  if (code === 'ECONNREFUSED' || code === 'EHOSTUNREACH' || code === 'ENETUNREACH') {
    return {
      ...registry(`${server} cannot be reached (${code})`, 'start it, or correct --endpoint'),
      retryable: true,
    };
  }
  if (code !== undefined && /CERT|SELF_SIGNED|UNABLE_TO_|^ERR_SSL|ERR_TLS/.test(code)) {
    return registry(
      `the certificate of ${server} is not trusted (${code})`,
      'name its authority with --ca-file or AWS_CA_BUNDLE',
    );
  }
  if (code !== undefined && (PASSING_CODES.has(code) || code.startsWith('HPE_'))) {
    return { retryable: true, problem: `the connection to ${server} broke (${code})` };
  }
  if (name === 'TimeoutError')
    return { retryable: true, problem: `${server} gave no answer in time` };
  return undefined;
}

const PASSING_CODES = new Set([
  'ECONNRESET',
  'EPIPE',
  'ETIMEDOUT',
  'EAI_AGAIN',
  'ECONNABORTED',
  'ERR_STREAM_PREMATURE_CLOSE',
]);

/**
 * 5xx, 408 and 429 pass (S3 gives `RequestTimeout` as 400, `SlowDown` as 503); other 4xx do not,
 * nor does what the server cannot do at all. A success that the SDK could not read is incomplete.
 */
function byStatus({ name, status, text }: Facts, { server }: S3Request): Finding {
  if (status === undefined) return { problem: text };
  if (status < 300) {
    const problem = `the answer of ${server} is incomplete or not S3's (${firstLine(text)})`;
    return { retryable: true, problem };
  }
  if (status === 412) return { code: 'PRECONDITION_LOST', problem: 'the key exists' };
  // Ceph 20 answers BucketAlreadyExists to an abort that runs beside one whose answer was lost.
  if (status === 409) return { retryable: true, problem: CONFLICT };
  const problem = `the server answered ${status} (${text})`;
  if (status === 401 || status === 403) {
    // The answer to HEAD has no body with details.
    const isMute = /^(Unknown|UnknownError|Forbidden|Unauthorized|40[13])$/.test(name);
    return isMute
      ? registry(`${server} refused the request (${status})`, CREDENTIALS_HINT)
      : registry(problem);
  }
  const passes = (status >= 500 && status !== 501 && status !== 505) || status === 408;
  return { retryable: passes || status === 429 || name === 'RequestTimeout', problem };
}

function registry(problem: string, hint?: string): Finding {
  return { code: 'REGISTRY', problem, ...(hint === undefined ? {} : { hint }) };
}

// NOTE: the SDK's own error keeps the whole answer and may keep the request, with the access key
// and the signature in it. What is logged as a cause must not.
function safeCause(name: string, status: number | undefined, text: string): Error {
  return new Error(status === undefined ? text : `${text} (HTTP ${status})`, { cause: name });
}

function firstLine(text: string): string {
  return text.split('\n', 1)[0] ?? '';
}
