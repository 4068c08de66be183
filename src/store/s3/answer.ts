// Checks the fields that every answer of S3 has; without them it is incomplete, or is not from S3.
import { createHash } from 'node:crypto';
import { PublishError, type Step } from '../../core/errors.ts';
import { isMd5, unquote } from '../etag.ts';

/** Returns the error for a success that `lacks` something that every such answer of S3 has. */
export function noS3Answer(doing: string, step: Step, lacks: string): PublishError {
  const message = `${doing} failed: the answer is incomplete or not S3's (${lacks})`;
  const code = step === 'upload' ? 'UPLOAD' : 'REGISTRY';
  const hint = 'check --endpoint, and what stands between this host and the server';
  return new PublishError(code, message, { step, retryable: true, hint });
}

/**
 * Checks that a page is one of a listing, and that it names the next page if there is one. An empty
 * answer (of a relay, a portal) would otherwise read as an empty registry, and `gc` would take
 * everything for leftovers.
 * @throws REGISTRY or UPLOAD, retryable
 */
export function assertPage(
  page: { IsTruncated?: boolean | undefined },
  next: string | undefined,
  doing: string,
  step: Step = 'registry',
): void {
  if (page.IsTruncated === undefined) throw noS3Answer(doing, step, 'it is no listing');
  if (page.IsTruncated && next === undefined)
    throw noS3Answer(doing, step, 'the next page is not named');
}

/** The fields of an answer about the encryption of the object. */
export interface EncryptionFacts {
  ServerSideEncryption?: string | undefined;
  SSECustomerAlgorithm?: string | undefined;
}

/** True if an ETag has the shape of an md5 and is none: kept with a KMS's or the client's key. */
export function isEncrypted(answer: EncryptionFacts): boolean {
  const { SSECustomerAlgorithm, ServerSideEncryption = '' } = answer;
  return SSECustomerAlgorithm !== undefined || ServerSideEncryption.startsWith('aws:kms');
}

/** Returns true if the ETag is the md5 of the body, or is no md5 at all. */
export function hasEtag(
  body: Uint8Array,
  answer: EncryptionFacts & { ETag?: string | undefined },
): boolean {
  const etag = unquote(answer.ETag);
  if (!isMd5(etag) || isEncrypted(answer)) return true;
  return createHash('md5').update(body).digest('hex') === etag.toLowerCase();
}
