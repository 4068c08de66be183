// Holds what a store has of an image against the image's record; a damaged image is taken out of use.
import { messageOf, PublishError } from '../../core/errors.ts';
import type { ObjectStore } from '../../store/object-store.ts';
import { type ReadDigestOptions, readDigest } from '../../transfer/digests/read-digest.ts';
import type { ImageObject, ImageRecord } from '../record/image.ts';
import { deactivated, reactivated } from '../record/image-changes.ts';
import { allObjects, volumeSnapshots } from '../record/image-objects.ts';
import { changeRecord, imageFolder } from '../record/image-records.ts';

export interface VerifyOptions extends ReadDigestOptions {
  /** Compares what the store itself knows (size, ETag), and reads nothing back. */
  quick?: boolean | undefined;
}

/** The result of a verification. */
export interface Verified {
  /** The image now: deactivated if it is damaged, active again if it was marked damaged and is intact. */
  image: ImageRecord;
  /** One sentence each; empty if nothing wrong was found. */
  problems: string[];
  /** What a quick check cannot verify, one sentence each; empty after a full check. */
  doubts: string[];
  /** Why the record could not be changed to what was found; null if it was, or needed no change. */
  unmarked: string | null;
  /** Volume snapshots that hold its data, such as `pool/volume`: not verified. */
  unseen: string[];
}

/** Begins the `status_reason` of an image that was found to be damaged. */
const DAMAGED = 'damaged: ';

/**
 * Checks every disk and artefact. A damaged image becomes `deactivated` with the reason, so that
 * `pull` refuses it. One that was deactivated as damaged becomes `active` again if a full check finds
 * it intact.
 * @throws IMAGE_STATUS if the image has no data to check, REGISTRY, INTERRUPTED
 */
export async function verifyImage(
  store: ObjectStore,
  image: ImageRecord,
  options: VerifyOptions,
): Promise<Verified> {
  const { problems, doubts } = await examine(store, image, options);
  const unseen = volumeSnapshots(image) ?? [];
  try {
    const marked = await mark(store, image, problems, options);
    return { image: marked, problems, doubts, unmarked: null, unseen };
  } catch (error) {
    // The result counts, even if this user may not change the record.
    if (!(error instanceof PublishError) || error.code === 'INTERRUPTED') throw error;
    return { image, problems, doubts, unmarked: messageOf(error), unseen };
  }
}

/** Marks the record with the result, and returns it. NOTE: only a full check shows that an image is intact. */
async function mark(
  store: ObjectStore,
  image: ImageRecord,
  problems: readonly string[],
  options: VerifyOptions,
): Promise<ImageRecord> {
  if (problems.length > 0) return markDamaged(store, image.id, problems, options);
  if (options.quick || !isMarkedDamaged(image)) return image;
  // A client that deactivated it meanwhile had another reason.
  const { signal } = options;
  return changeRecord(store, image.id, reactivated, { signal, expectVersion: image.version });
}

/** @throws INTEGRITY if an image that was found damaged still is. */
export async function assertUndamaged(
  store: ObjectStore,
  image: ImageRecord,
  options: VerifyOptions,
): Promise<void> {
  if (!isMarkedDamaged(image)) return;
  const { problems } = await examine(store, image, options);
  if (problems.length === 0) return;
  const message = `image ${image.id} is still damaged: ${problems.join('; ')}`;
  throw new PublishError('INTEGRITY', message, { step: 'registry', hint: 'publish it again' });
}

/** The result of checking the objects of an image. */
type Findings = Pick<Verified, 'problems' | 'doubts'>;

/** @throws what `verifyImage` throws */
async function examine(
  store: ObjectStore,
  image: ImageRecord,
  options: VerifyOptions,
): Promise<Findings> {
  const { id, status } = image;
  if (status !== 'active' && status !== 'deactivated') {
    const message = `image ${id} is ${status} and has no data to verify; only active and deactivated images have`;
    throw new PublishError('IMAGE_STATUS', message, { step: 'registry' });
  }
  const found: Findings = { problems: [], doubts: [] };
  let before = 0;
  for (const object of allObjects(image)) {
    const onProgress = (bytes: number) => options.onProgress?.(before + bytes);
    const { problem, doubt } = options.quick
      ? await lookQuickly(store, id, object, options)
      : { problem: await readProblem(store, id, object, { ...options, onProgress }) };
    if (problem !== undefined) found.problems.push(`${object.name} ${problem}`);
    if (doubt !== undefined) found.doubts.push(`${object.name} ${doubt}`);
    before += object.size;
  }
  return found;
}

async function readProblem(
  store: ObjectStore,
  id: string,
  object: ImageObject,
  options: ReadDigestOptions,
): Promise<string | undefined> {
  const found = await readDigest(store, imageFolder(id) + object.name, options);
  if (found === undefined) return 'is missing';
  if (found.size !== object.size) return `has ${found.size} bytes instead of ${object.size}`;
  if (found.sha256 === object.sha256) return undefined;
  return `has the sha256 ${found.sha256} instead of ${object.sha256}`;
}

/**
 * NOTE: an ETag is the store's own: a bucket that another tool copied, in parts of another size or
 * with another key, has the same bytes under other ETags.
 */
async function lookQuickly(
  store: ObjectStore,
  id: string,
  object: ImageObject,
  { signal }: VerifyOptions,
): Promise<{ problem?: string; doubt?: string }> {
  const info = await store.stat(imageFolder(id) + object.name, { signal });
  if (info === undefined) return { problem: 'is missing' };
  const { size, etag } = object;
  if (info.size !== size) return { problem: `has ${info.size} bytes instead of ${size}` };
  if (etag === undefined || info.etag === null || info.etag === etag) return {};
  return { doubt: `has the ETag ${info.etag} and not ${etag}: it was written again or copied` };
}

function markDamaged(
  store: ObjectStore,
  id: string,
  problems: readonly string[],
  { signal }: VerifyOptions,
): Promise<ImageRecord> {
  const reason = `${DAMAGED}${problems.join('; ')}`.slice(0, 2000);
  return changeRecord(store, id, (record) => deactivated(record, reason), { signal });
}

/** True for an image that `verify` took out of use. */
function isMarkedDamaged({ status, status_reason }: ImageRecord): boolean {
  return status === 'deactivated' && (status_reason?.startsWith(DAMAGED) ?? false);
}
