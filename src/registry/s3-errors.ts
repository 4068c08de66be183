// What an S3 server or the way to it said, as an error of ours: which, whether it may pass, and the cure.
import { type ErrorCode, PublishError, type Step } from '../errors.ts';

/** What a request was about, for the message. */
export interface S3Request {
  /** As `storing images/…/vda.qcow2`. */
  doing: string;
  bucket: string;
  /** Where the server is, without credentials. */
  server: string;
  /** `upload` gives UPLOAD for what is no fault of the bucket, the credentials or the server. */
  step: Step;
}

interface Finding {
  code?: ErrorCode;
  retryable?: boolean;
  /** Ends the sentence that `doing` begins. */
  says: string;
}

/** Turns whatever the SDK threw into a PublishError; one of ours is passed through. */
export function s3Error(error: unknown, request: S3Request): PublishError {
  if (error instanceof PublishError) return error;
  const { name, status, text } = factsOf(error);
  const finding = byName(name, request) ?? bySystem(error, name, request) ?? byStatus(status, text);
  const code = finding.code ?? (request.step === 'upload' ? 'UPLOAD' : 'REGISTRY');
  return new PublishError(code, `${capital(request.doing)} failed: ${finding.says}`, {
    step: request.step,
    retryable: finding.retryable ?? false,
    cause: safeCause(name, status, text),
  });
}

/** True where the server said that the object is not there. */
export function isMissingKey(error: unknown): boolean {
  const { name, status } = factsOf(error);
  return name === 'NoSuchKey' || (status === 404 && name !== 'NoSuchBucket');
}

/** True where the server said that the multipart upload is not there. */
export function isMissingUpload(error: unknown): boolean {
  // Ceph 20 answers ListParts of an upload that is gone with NoSuchKey.
  return factsOf(error).name === 'NoSuchUpload' || isMissingKey(error);
}

const CREDENTIALS_CURE =
  'check the credentials (AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY, or --profile).';

function byName(name: string, { bucket, server }: S3Request): Finding | undefined {
  switch (name) {
    case 'NoSuchBucket':
      return registry(
        `there is no bucket ${bucket} at ${server}; make it, or correct the registry's URL.`,
      );
    case 'InvalidAccessKeyId':
    case 'SignatureDoesNotMatch':
    case 'InvalidToken':
    case 'ExpiredToken':
    case 'TokenRefreshRequired':
      return registry(`${server} refused the credentials (${name}); ${CREDENTIALS_CURE}`);
    case 'CredentialsProviderError':
      return registry(`no credentials were found; ${CREDENTIALS_CURE}`);
    case 'AccessDenied':
    case 'AllAccessDisabled':
    case 'AccountProblem':
      return registry(
        `${server} denies these credentials access to bucket ${bucket} (${name}); ` +
          'give them the right to list, read, write and delete there.',
      );
    case 'PermanentRedirect':
    case 'AuthorizationHeaderMalformed':
      return registry(
        `bucket ${bucket} is in another region (${name}); set AWS_REGION or --region.`,
      );
    case 'RequestTimeTooSkewed':
      // NOTE: the SDK learns the difference from this answer, and the next try is signed with it.
      return {
        ...registry(`the clock differs from the one of ${server}; set it.`),
        retryable: true,
      };
    case 'PreconditionFailed':
      return { code: 'PRECONDITION_LOST', says: 'it exists already; somebody else was first.' };
    case 'ConditionalRequestConflict':
      return { retryable: true, says: 'another request for the same key was under way.' };
    case 'BadDigest':
      return {
        code: 'INTEGRITY',
        retryable: true,
        says: 'the server received other bytes than were sent (wrong Content-MD5).',
      };
    default:
      return undefined;
  }
}

/** Failures of the way to the server; the codes are Node's and OpenSSL's. */
function bySystem(error: unknown, name: string, { server }: S3Request): Finding | undefined {
  const code = systemCode(error);
  if (code === 'ENOTFOUND')
    return registry(`the host of ${server} is not known; correct the endpoint.`);
  if (code === 'ECONNREFUSED' || code === 'EHOSTUNREACH' || code === 'ENETUNREACH') {
    return {
      ...registry(`${server} cannot be reached (${code}); is it running?`),
      retryable: true,
    };
  }
  if (code !== undefined && /CERT|SELF_SIGNED|UNABLE_TO_|^ERR_SSL|ERR_TLS/.test(code)) {
    return registry(`the certificate of ${server} is not trusted (${code}); set a CA file.`);
  }
  if (code !== undefined && PASSING_CODES.has(code)) {
    return { retryable: true, says: `the connection to ${server} broke (${code}).` };
  }
  if (name === 'TimeoutError')
    return { retryable: true, says: `${server} gave no answer in time.` };
  return undefined;
}

const PASSING_CODES = new Set([
  'ECONNRESET',
  'EPIPE',
  'ETIMEDOUT',
  'EAI_AGAIN',
  'ECONNABORTED',
  'ERR_STREAM_PREMATURE_CLOSE',
  'HPE_INVALID_CONSTANT',
  'HPE_INVALID_EOF_STATE',
]);

/** 5xx, 408 and 429 pass (S3 gives `RequestTimeout` as 400, `SlowDown` as 503); other 4xx do not. */
function byStatus(status: number | undefined, text: string): Finding {
  const passes = status !== undefined && (status >= 500 || status === 408 || status === 429);
  const timedOut = text.startsWith('RequestTimeout');
  const code = status === 401 || status === 403 ? { code: 'REGISTRY' as const } : {};
  if (status === 412) return { code: 'PRECONDITION_LOST', says: 'it exists already.' };
  const says = status === undefined ? text : `the server answered ${status} (${text}).`;
  return { ...code, retryable: passes || timedOut, says };
}

function registry(says: string): Finding {
  return { code: 'REGISTRY', says };
}

function factsOf(error: unknown): { name: string; status: number | undefined; text: string } {
  if (!(error instanceof Error)) return { name: 'Error', status: undefined, text: String(error) };
  const { $metadata } = error as { $metadata?: { httpStatusCode?: number } };
  const code = 'Code' in error && typeof error.Code === 'string' ? error.Code : error.name;
  const text = error.message === '' || error.message === code ? code : `${code}: ${error.message}`;
  return { name: code, status: $metadata?.httpStatusCode, text };
}

function systemCode(error: unknown): string | undefined {
  for (let at: unknown = error; at instanceof Error; at = at.cause) {
    if ('code' in at && typeof at.code === 'string') return at.code;
    const inner =
      at instanceof AggregateError ? at.errors.map(systemCode).find(Boolean) : undefined;
    if (inner !== undefined) return inner;
  }
  return undefined;
}

// NOTE: the SDK's own error keeps the whole answer and may keep the request, with the access key
// and the signature in it. What is logged as a cause must not.
function safeCause(name: string, status: number | undefined, text: string): Error {
  return new Error(status === undefined ? text : `${text} (HTTP ${status})`, { cause: name });
}

function capital(text: string): string {
  return text.charAt(0).toUpperCase() + text.slice(1);
}
