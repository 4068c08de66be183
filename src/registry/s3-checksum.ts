// Whether a bucket's server holds what it receives against a checksum: tried with a wrong one.
import { PublishError } from '../errors.ts';
import type { CallOptions } from './object-store.ts';
import type { S3Requests } from './s3-requests.ts';

/** The crc32 of no bytes, which the body is not. */
const WRONG_CRC32 = 'AAAAAA==';

/**
 * Sends `key` with a wrong crc32. The object is there afterwards where it was not refused.
 * @throws REGISTRY where the server did not answer about the checksum at all.
 */
export async function refusesWrongChecksum(
  s3: S3Requests,
  key: string,
  { signal }: CallOptions,
): Promise<boolean> {
  const body = Buffer.from('some bytes');
  const input = {
    ...s3.at(key),
    Body: body,
    ContentLength: body.byteLength,
    // NOTE: Ceph 20 looks at the checksum only where the algorithm is named too.
    ChecksumAlgorithm: 'CRC32' as const,
    ChecksumCRC32: WRONG_CRC32,
  };
  try {
    await s3.call({ doing: `storing ${key} with a wrong checksum`, signal }, (abortSignal) =>
      s3.client.putObject(input, { abortSignal }),
    );
    return false;
  } catch (error) {
    // BadDigest, XAmzContentChecksumMismatch, InvalidRequest: each server has its own word for it.
    const isAnswer = error instanceof PublishError && !isTrouble(error);
    if (isAnswer) return true;
    throw error;
  }
}

/** A failure that says nothing about the checksum: no access, no server, no time. */
function isTrouble({ message, retryable, code }: PublishError): boolean {
  if (code === 'INTEGRITY') return false;
  return retryable || code === 'INTERRUPTED' || !/answered 400/.test(message);
}
