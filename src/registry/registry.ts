// A registry of images: records that only gain versions, data verified both ways, names that move.
import type { ImageSource } from '../upload/source.ts';
import type { UploadPolicy } from '../upload/upload-image.ts';
import { type Ability, type ProbeOptions, probeAbilities } from './abilities.ts';
import {
  type AliasRecord,
  listAliasRecords,
  type MoveOptions,
  moveAlias,
  readAlias,
} from './aliases.ts';
import { readDefaults } from './defaults.ts';
import { deleteImage } from './delete-image.ts';
import { findImage } from './find-image.ts';
import type { ImageObject, ImageRecord } from './image.ts';
import { checkObjects, putArtefact, uploadData } from './image-data.ts';
import {
  assertActive,
  type ChangeOptions,
  changeRecord,
  killRecord,
  listRecords,
  recordFolder,
} from './image-records.ts';
import { findImagesBySize } from './images-by-size.ts';
import { newRecord } from './new-image.ts';
import type { CallOptions, ObjectStore } from './object-store.ts';
import { openStore } from './open-store.ts';
import type { PullOptions } from './pull-file.ts';
import { pullImage } from './pull-image.ts';
import { createVersion } from './records.ts';
import type {
  ActiveFields,
  DeleteOptions,
  ListImagesOptions,
  NewImage,
  RegistryOptions,
  UploadDataOptions,
  UploadedObject,
} from './registry-types.ts';
import { RetryingStore } from './retrying-store.ts';

export type { ActiveFields, NewImage, RegistryOptions, UploadedObject } from './registry-types.ts';

/**
 * Opens a registry: `s3://bucket/prefix`, `file:///directory` or a directory's path. Makes no
 * request; `checkAccess` does.
 * @throws USAGE, CONFIG
 */
export async function openRegistry(url: string, options: RegistryOptions = {}): Promise<Registry> {
  const defaults = readDefaults();
  const policy = { ...defaults.upload, ...options.upload };
  const requestMs = options.requestTimeoutMs ?? defaults.requestMs;
  const store = await openStore(url, { s3: options.s3, requestMs, partMs: policy.partMs });
  return new Registry(store, policy);
}

/**
 * Every method takes a signal and none keeps one: what undoes (killImage) is called without, and
 * runs when the run's own signal has long fired.
 */
export class Registry {
  readonly url: string;
  readonly #store: ObjectStore;
  /** The same with nothing tried again: probes want the first answer. */
  readonly #bare: ObjectStore;
  readonly #policy: UploadPolicy;

  /** `store` makes each request once; the registry tries again by `policy`. */
  constructor(store: ObjectStore, policy: UploadPolicy) {
    this.#store = new RetryingStore(store, policy);
    this.#bare = store;
    this.#policy = policy;
    this.url = store.url;
  }

  /** The directory that a registry lives in, whose free space it takes; null for a bucket. */
  get directory(): string | null {
    return this.#store.moveIn === undefined ? null : this.url;
  }

  /** One cheap request. @throws REGISTRY that says what is wrong: bucket, credentials or server. */
  checkAccess(options: CallOptions = {}): Promise<void> {
    return this.#store.checkAccess(options);
  }

  /** Tries what the store can do, in a folder that goes again. @throws where it cannot be used. */
  probeAbilities(options: ProbeOptions = {}): Promise<Ability[]> {
    return probeAbilities(this.#bare, options);
  }

  /** Version 1 of a new image, `queued`. @throws USAGE, PRECONDITION_LOST (the id is taken) */
  async queueImage(fields: NewImage, options: CallOptions = {}): Promise<ImageRecord> {
    const record = newRecord(fields);
    await createVersion(this.#store, recordFolder(record.id), 1, record, options);
    return record;
  }

  /**
   * The next version of a record; `change` may be called several times, on newer states.
   * @throws IMAGE_NOT_FOUND, IMAGE_STATUS, USAGE, PRECONDITION_LOST
   */
  updateImage(
    id: string,
    change: (record: ImageRecord) => ImageRecord,
    options: ChangeOptions = {},
  ): Promise<ImageRecord> {
    return changeRecord(this.#store, id, change, options);
  }

  markSaving(id: string, options: CallOptions = {}): Promise<ImageRecord> {
    return this.updateImage(id, (record) => ({ ...record, status: 'saving' }), options);
  }

  /** The image failed; an image that is killed already keeps its first reason. */
  killImage(id: string, reason: string, options: CallOptions = {}): Promise<ImageRecord> {
    return killRecord(this.#store, id, reason, options);
  }

  /**
   * Makes the image one that readers see, after asking the store that its objects are there.
   * @throws INTEGRITY where one is not, or has another size; IMAGE_STATUS
   */
  async activateImage(
    id: string,
    fields: ActiveFields,
    options: CallOptions = {},
  ): Promise<ImageRecord> {
    await checkObjects(this.#store, id, [fields.data, ...(fields.artefacts ?? [])], options);
    return this.updateImage(
      id,
      (record) => ({ ...record, ...fields, size: fields.data.size, status: 'active' }),
      options,
    );
  }

  /**
   * Stores the data of an image as `images/<id>/<name>`: moved where that may and can be, else
   * uploaded in parts. Digests are computed on the way.
   * @throws UPLOAD, INTEGRITY, REGISTRY, INTERRUPTED; no part of an upload is left behind.
   */
  uploadData(
    id: string,
    name: string,
    source: ImageSource,
    options: UploadDataOptions = {},
  ): Promise<UploadedObject> {
    return uploadData(this.#store, { id, name, source, policy: this.#policy, ...options });
  }

  /** Stores a small object beside the data, and says what the record has to say of it. */
  putArtefact(
    id: string,
    name: string,
    body: string | Uint8Array,
    options: CallOptions = {},
  ): Promise<ImageObject> {
    return putArtefact(this.#store, { id, name, body }, options);
  }

  /** By full id, alias, beginning of an id, or name. @throws IMAGE_NOT_FOUND, USAGE (several fit) */
  getImage(ref: string, options: CallOptions = {}): Promise<ImageRecord> {
    return findImage(this.#store, ref, options);
  }

  /** The active images whose data has exactly this many bytes. */
  findImagesBySize(size: number, options: CallOptions = {}): Promise<ImageRecord[]> {
    return findImagesBySize(this.#store, size, options);
  }

  /** The newest record of each image, by id. */
  async *listImages({ all = false, signal }: ListImagesOptions = {}): AsyncGenerator<ImageRecord> {
    for await (const record of listRecords(this.#store, { signal })) {
      if (record === undefined) continue;
      if (all || (record.status !== 'deleted' && record.status !== 'killed')) yield record;
    }
  }

  /**
   * The record first, so that no reader sees an image without data; then everything but it. Called
   * again on an image that is deleted, by its full id, it removes what is left.
   * @throws IMAGE_NOT_FOUND, IMAGE_STATUS (protected, or an alias points to it)
   */
  deleteImage(ref: string, options: DeleteOptions = {}): Promise<ImageRecord> {
    return deleteImage(this.#store, ref, options);
  }

  /**
   * The image's data as a file, verified. @throws IMAGE_STATUS unless it is active, INTEGRITY,
   * USAGE (the file is there), REGISTRY, NO_SPACE, INTERRUPTED
   */
  async pullImage(ref: string, file: string, options: PullOptions = {}): Promise<ImageRecord> {
    const record = await this.getImage(ref, { signal: options.signal });
    await pullImage(this.#store, record, file, { ...options, policy: this.#policy });
    return record;
  }

  /**
   * Points the alias to an active image. @throws IMAGE_STATUS, IMAGE_NOT_FOUND, PRECONDITION_LOST
   * where somebody else moved it at the same time
   */
  async setAlias(alias: string, imageId: string, options: MoveOptions = {}): Promise<AliasRecord> {
    await assertActive(this.#store, imageId, options);
    return moveAlias(this.#store, alias, imageId, options);
  }

  /** Where the alias points; `undefined` where it points nowhere. @throws USAGE */
  async resolveAlias(alias: string, options: CallOptions = {}): Promise<AliasRecord | undefined> {
    const record = await readAlias(this.#store, alias, options);
    return record?.image_id === null ? undefined : record;
  }

  listAliases(options: CallOptions = {}): AsyncIterable<AliasRecord> {
    return listAliasRecords(this.#store, options);
  }
}
