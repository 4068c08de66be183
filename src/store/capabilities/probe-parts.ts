// Probes whether a store refuses a part whose md5 or crc32c does not match.
import { Readable } from 'node:stream';
import { PublishError } from '../../core/errors.ts';
import { crc32cHex, crc32cOf } from '../../host/io/crc32c.ts';
import type { PartUpload } from '../object-store.ts';
import type { Finding, Probe } from './capability.ts';

const PROBE_BODY = Buffer.from('some bytes');

/** Probes whether completing an upload is refused if its key exists. */
export async function tryCreateOnlyParts(probe: Probe): Promise<Finding> {
  const first = await completeUpload(probe, PROBE_BODY);
  if (first !== undefined) throw first;
  const second = await completeUpload(probe, Buffer.concat([PROBE_BODY, PROBE_BODY]));
  if (second?.code === 'PRECONDITION_LOST')
    return { supported: true, detail: 'an upload of a key that is taken is refused at its end' };
  if (second !== undefined) throw second;
  return {
    supported: false,
    detail: 'an upload replaces what another client put at its key meanwhile',
  };
}

/** Returns the error of an upload of one part; undefined if the object was created. */
async function completeUpload(
  { store, folder, signal }: Probe,
  body: Uint8Array,
): Promise<PublishError | undefined> {
  const upload = await store.startUpload(`${folder}parts`, { signal });
  try {
    const part = { start: 0, length: body.byteLength, open: () => Readable.from([body]) };
    await upload.complete([await upload.putPart(1, part, { signal })], { signal });
    return undefined;
  } catch (error) {
    await upload.abort();
    if (error instanceof PublishError && error.code !== 'INTERRUPTED') return error;
    throw error;
  }
}

export async function tryContentMd5({ store, folder, signal }: Probe): Promise<Finding> {
  const body = PROBE_BODY;
  const upload = await store.startUpload(`${folder}md5`, { signal });
  try {
    const part = { start: 0, length: body.byteLength, md5: '0'.repeat(32) };
    await upload.putPart(1, { ...part, open: () => Readable.from([body]) }, { signal });
  } catch (error) {
    if (!(error instanceof PublishError && error.code === 'INTEGRITY')) throw error;
    return { supported: true, detail: 'a part with a wrong md5 is refused' };
  } finally {
    await upload.abort();
  }
  const detail = 'a part with a wrong md5 is taken: damage on the way is found by "verify" only';
  return { supported: false, detail };
}

/** NOTE: a right one must be taken too: a server that knows no such header refuses both. */
export async function tryChecksum(probe: Probe): Promise<Finding> {
  if (probe.store.location === undefined)
    return { supported: null, detail: 'not needed in a directory' };
  const sum = crc32cOf(PROBE_BODY);
  const tries = [refusal(probe, sum), refusal(probe, sum ^ 1)] as const;
  await Promise.allSettled(tries);
  const right = await tries[0];
  if (right !== undefined)
    return {
      supported: false,
      detail: `a part with a crc32c is not taken (${right.message}); md5 is used`,
    };
  const wrong = await tries[1];
  if (wrong?.code === 'INTEGRITY')
    return { supported: true, detail: 'a part with a wrong crc32c is refused' };
  return {
    supported: false,
    detail: 'a wrong crc32c is taken: each part is sent with its md5, which costs more',
  };
}

/** Returns the error of an upload of one part with this crc32c; undefined if it is accepted. */
async function refusal(
  { store, folder, signal }: Probe,
  sum: number,
): Promise<PublishError | undefined> {
  const length = PROBE_BODY.byteLength;
  const body = { start: 0, length, crc32c: crc32cHex(sum) };
  let upload: PartUpload | undefined;
  try {
    upload = await store.startUpload(`${folder}crc32c`, { check: 'crc32c', signal });
    await upload.putPart(1, { ...body, open: () => Readable.from([PROBE_BODY]) }, { signal });
    return undefined;
  } catch (error) {
    // Missing access, an unreachable server or a timeout proves nothing about checksums.
    const isAnswer =
      error instanceof PublishError && (error.code === 'INTEGRITY' || !error.retryable);
    if (isAnswer && error.code !== 'INTERRUPTED') return error;
    throw error;
  } finally {
    await upload?.abort();
  }
}
