// Stores and checks the objects of an image: its data and its artefacts.
import { createHash } from 'node:crypto';
import { PublishError } from '../core/errors.ts';
import type { ImageSource } from '../host/io/image-source.ts';
import type { CallOptions } from '../store/object-info.ts';
import type { ObjectStore } from '../store/object-store.ts';
import {
  type DigestAlgorithm,
  type Digests,
  digestAlgorithms,
} from '../transfer/digests/digests.ts';
import { hashImage } from '../transfer/digests/hash-image.ts';
import { findUploaded } from '../transfer/upload/resume-upload.ts';
import { uploadImage } from '../transfer/upload/upload-image.ts';
import type { UploadPolicy } from '../transfer/upload/upload-types.ts';
import type { ImageObject } from './record/image.ts';
import { imageFolder } from './record/image-records.ts';
import { assertObjectName } from './record/names.ts';
import type { UploadDataOptions, UploadedObject } from './registry-types.ts';

interface UploadRequest extends UploadDataOptions {
  id: string;
  name: string;
  source: ImageSource;
  policy: UploadPolicy;
  /** The store was seen to refuse a wrong checksum. */
  checksums: boolean;
}

/** See Registry.uploadData. */
export async function uploadData(
  store: ObjectStore,
  {
    id,
    name,
    source,
    policy,
    checksums,
    hash,
    signal,
    onProgress,
    moveFrom,
    resume,
    digests: given,
  }: UploadRequest,
): Promise<UploadedObject> {
  assertObjectName(name);
  const algorithms = digestAlgorithms(hash);
  const key = imageFolder(id) + name;
  const known = knownDigests(algorithms, given);
  if (resume) {
    const there = await findUploaded(store, { key, source, algorithms, signal });
    if (there) return { name, ...there, moved: false };
  }
  if (moveFrom !== undefined && store.moveIn !== undefined) {
    // Before it is moved: no reader finds data under its final name that is not verified.
    const digests = known ?? (await hashImage(source, algorithms, { signal, onProgress }));
    const moved = await store.moveIn(key, moveFrom, { signal });
    if (moved) return { name, size: source.size, digests, etag: null, moved };
  }
  const how = { policy, checksums, signal, onProgress, resume };
  const sent = { key, source, algorithms, digests: known, ...how };
  return { name, ...(await uploadImage(store, sent)), moved: false };
}

/** Returns undefined if one of them was not given. */
function knownDigests(
  algorithms: readonly DigestAlgorithm[],
  given: Readonly<Record<string, string>> = {},
): Digests | undefined {
  const { sha256 } = given;
  if (sha256 === undefined || !algorithms.every((name) => name in given)) return undefined;
  return { ...given, sha256 };
}

/** See Registry.putArtefact. */
export async function putArtefact(
  store: ObjectStore,
  { id, name, body }: { id: string; name: string; body: string | Uint8Array },
  options: CallOptions,
): Promise<ImageObject> {
  assertObjectName(name);
  const bytes = typeof body === 'string' ? Buffer.from(body) : body;
  await store.create(imageFolder(id) + name, bytes, options);
  const sha256 = createHash('sha256').update(bytes).digest('hex');
  return { name, size: bytes.byteLength, sha256 };
}

/**
 * Looks up each object in the store, and returns it with its ETag.
 * @throws INTEGRITY if one is missing or has another size.
 */
export function checkObjects(
  store: ObjectStore,
  id: string,
  objects: readonly ImageObject[],
  options: CallOptions,
): Promise<ImageObject[]> {
  return Promise.all(objects.map((object) => checkObject(store, id, object, options)));
}

async function checkObject(
  store: ObjectStore,
  id: string,
  { name, size, sha256 }: ImageObject,
  options: CallOptions,
): Promise<ImageObject> {
  const info = await store.stat(imageFolder(id) + name, options);
  const etag = info?.etag ?? null;
  if (info?.size === size) return { name, size, sha256, ...(etag === null ? {} : { etag }) };
  const found = info === undefined ? 'is missing' : `has ${info.size} bytes`;
  const message = `${name} of image ${id} should have ${size} bytes but ${found}`;
  throw new PublishError('INTEGRITY', message, { step: 'activate', hint: 'publish it again' });
}
