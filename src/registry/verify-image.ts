// Holds what a store has of an image against the image's record; a damaged image is taken out of use.
import { messageOf, PublishError } from '../errors.ts';
import type { ImageObject, ImageRecord } from './image.ts';
import { deactivated } from './image-changes.ts';
import { allObjects, volumeSnapshots } from './image-objects.ts';
import { changeRecord, imageFolder } from './image-records.ts';
import type { ObjectStore } from './object-store.ts';
import { type ReadDigestOptions, readDigest } from './read-digest.ts';

export interface VerifyOptions extends ReadDigestOptions {
  /** Compares what the store itself knows (size, ETag), and reads nothing back. */
  quick?: boolean | undefined;
}

export interface Verified {
  /** As it is now: deactivated where it is damaged. */
  image: ImageRecord;
  /** One sentence each; empty where all is as it should be. */
  problems: string[];
  /** Why a damaged image could not be marked; null where it was, or is sound. */
  unmarked: string | null;
  /** Volume snapshots that hold its data, as `pool/volume`: not looked at. */
  unseen: string[];
}

/** Begins the `status_reason` of an image that was found to be damaged. */
const DAMAGED = 'damaged: ';

/**
 * Looks at every disk and artefact. A damaged image becomes `deactivated` with the reason, so
 * that no reader is given it; one that is sound again is left as it is (see reactivate).
 * @throws IMAGE_STATUS where the image has no data to look at, REGISTRY, INTERRUPTED
 */
export async function verifyImage(
  store: ObjectStore,
  image: ImageRecord,
  options: VerifyOptions,
): Promise<Verified> {
  const problems = await findDamage(store, image, options);
  const unseen = volumeSnapshots(image) ?? [];
  if (problems.length === 0) return { image, problems, unmarked: null, unseen };
  try {
    const marked = await markDamaged(store, image.id, problems, options);
    return { image: marked, problems, unmarked: null, unseen };
  } catch (error) {
    // What was found counts, whether or not this user may write it down.
    if (!(error instanceof PublishError) || error.code === 'INTERRUPTED') throw error;
    return { image, problems, unmarked: messageOf(error), unseen };
  }
}

/** @throws INTEGRITY where an image that was found damaged still is. */
export async function assertMended(
  store: ObjectStore,
  image: ImageRecord,
  options: VerifyOptions,
): Promise<void> {
  if (!isMarkedDamaged(image)) return;
  const problems = await findDamage(store, image, options);
  if (problems.length === 0) return;
  const message = `Image ${image.id} still is damaged: ${problems.join('; ')}. Publish it again.`;
  throw new PublishError('INTEGRITY', message, { step: 'registry' });
}

/** What is wrong with the objects of an image. @throws as verifyImage */
async function findDamage(
  store: ObjectStore,
  image: ImageRecord,
  options: VerifyOptions,
): Promise<string[]> {
  const { id, status } = image;
  if (status !== 'active' && status !== 'deactivated') {
    const message = `Image ${id} is ${status} and has no data to verify; only active and deactivated images have.`;
    throw new PublishError('IMAGE_STATUS', message, { step: 'registry' });
  }
  const problems: string[] = [];
  let before = 0;
  for (const object of allObjects(image)) {
    const onProgress = (bytes: number) => options.onProgress?.(before + bytes);
    const problem = options.quick
      ? await quickProblem(store, id, object, options)
      : await readProblem(store, id, object, { ...options, onProgress });
    if (problem !== undefined) problems.push(`${object.name} ${problem}`);
    before += object.size;
  }
  return problems;
}

async function readProblem(
  store: ObjectStore,
  id: string,
  object: ImageObject,
  options: ReadDigestOptions,
): Promise<string | undefined> {
  const found = await readDigest(store, imageFolder(id) + object.name, options);
  if (found === undefined) return 'is not there';
  if (found.size !== object.size) return `has ${found.size} bytes instead of ${object.size}`;
  if (found.sha256 === object.sha256) return undefined;
  return `has the sha256 ${found.sha256} instead of ${object.sha256}`;
}

async function quickProblem(
  store: ObjectStore,
  id: string,
  object: ImageObject,
  { signal }: VerifyOptions,
): Promise<string | undefined> {
  const info = await store.stat(imageFolder(id) + object.name, { signal });
  if (info === undefined) return 'is not there';
  if (info.size !== object.size) return `has ${info.size} bytes instead of ${object.size}`;
  const { etag } = object;
  if (etag === undefined || info.etag === null || info.etag === etag) return undefined;
  return `has the ETag ${info.etag} instead of ${etag}: it was written again`;
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
