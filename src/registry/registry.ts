// A registry of images: records that only gain versions, data verified both ways, names that move.
import { createHash, randomUUID } from 'node:crypto';
import { PublishError } from '../errors.ts';
import { digestAlgorithms } from '../upload/digests.ts';
import { type Digests, hashImage } from '../upload/hash-image.ts';
import type { ImageSource } from '../upload/source.ts';
import { type UploadPolicy, uploadImage } from '../upload/upload-image.ts';
import {
  type AliasRecord,
  listAliasRecords,
  type MoveOptions,
  moveAlias,
  readAlias,
} from './aliases.ts';
import { findImage } from './find-image.ts';
import type { ImageObject, ImageRecord, ImageStatus } from './image.ts';
import { assertObjectName, assertRecord } from './image-checks.ts';
import {
  type ChangeOptions,
  changeRecord,
  imageFolder,
  listRecords,
  notFound,
  readRecord,
  recordFolder,
} from './image-records.ts';
import type { CallOptions, ObjectStore } from './object-store.ts';
import { openStore } from './open-store.ts';
import { type PullOptions, pullFile } from './pull-file.ts';
import { createVersion, versionKey } from './records.ts';
import { RetryingStore } from './retrying-store.ts';
import type { S3Options } from './s3-client.ts';

export interface RegistryOptions {
  s3?: S3Options;
  /** Deadline of one request, and of silence while an object is read. */
  requestTimeoutMs?: number;
  upload?: Partial<UploadPolicy>;
}

/** What a new image must and may say of itself; the rest has Glance's defaults. */
export type NewImage = Pick<ImageRecord, 'name' | 'disk_format'> &
  Partial<
    Pick<
      ImageRecord,
      | 'id'
      | 'visibility'
      | 'protected'
      | 'os_hidden'
      | 'tags'
      | 'owner'
      | 'virtual_size'
      | 'min_disk'
      | 'min_ram'
      | 'properties'
    >
  >;

/** What is known once the data is there. `size` is the data's. */
export type ActiveFields = { data: ImageObject } & Partial<
  Pick<
    ImageRecord,
    | 'artefacts'
    | 'virtual_size'
    | 'min_disk'
    | 'min_ram'
    | 'checksum'
    | 'os_hash_algo'
    | 'os_hash_value'
    | 'properties'
  >
>;

export interface UploadDataOptions extends CallOptions {
  /** Digests beside sha256. */
  hash?: readonly string[];
  onProgress?: ((bytes: number) => void) | undefined;
  /** The source's file may be moved into the registry, where that can be done; it is gone then. */
  moveFrom?: string | undefined;
}

export interface UploadedObject extends Pick<ImageObject, 'name' | 'size'> {
  digests: Digests;
  etag: string | null;
  /** True where the file was taken in without being copied. */
  moved: boolean;
}

export interface ListImagesOptions extends CallOptions {
  /** Killed and deleted images too, as far as their records are there. */
  all?: boolean;
}

export interface DeleteOptions extends CallOptions {
  /** Also where an alias points to the image. */
  force?: boolean;
}

/** What config/default.json says, for callers that bring no configuration. */
const DEFAULT_UPLOAD: UploadPolicy = {
  partSizeMib: 16,
  concurrency: 4,
  retries: 5,
  retryMinMs: 200,
  retryMaxMs: 10_000,
  partMs: 300_000,
};
const DEFAULT_REQUEST_MS = 60_000;

/**
 * Opens a registry: `s3://bucket/prefix`, `file:///directory` or a directory's path. Makes no
 * request; `checkAccess` does.
 * @throws USAGE, CONFIG
 */
export async function openRegistry(url: string, options: RegistryOptions = {}): Promise<Registry> {
  const policy = { ...DEFAULT_UPLOAD, ...options.upload };
  const store = await openStore(url, {
    s3: options.s3,
    requestMs: options.requestTimeoutMs ?? DEFAULT_REQUEST_MS,
    partMs: policy.partMs,
  });
  return new Registry(store, policy);
}

/**
 * Every method takes a signal and none keeps one: what undoes (killImage) is called without, and
 * runs when the run's own signal has long fired.
 */
export class Registry {
  readonly url: string;
  readonly #store: ObjectStore;
  readonly #policy: UploadPolicy;

  /** `store` makes each request once; the registry tries again by `policy`. */
  constructor(store: ObjectStore, policy: UploadPolicy) {
    this.#store = new RetryingStore(store, policy);
    this.#policy = policy;
    this.url = store.url;
  }

  /** One cheap request. @throws REGISTRY that says what is wrong: bucket, credentials or server. */
  checkAccess(options: CallOptions = {}): Promise<void> {
    return this.#store.checkAccess(options);
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
    return this.#setStatus(id, 'saving', options);
  }

  /** The image failed; an image that is killed already keeps its first reason. */
  async killImage(id: string, reason: string, options: CallOptions = {}): Promise<ImageRecord> {
    const record = await readRecord(this.#store, id, options);
    if (record?.status === 'killed') return record;
    return this.updateImage(
      id,
      (current) => ({ ...current, status: 'killed', status_reason: reason.slice(0, 2000) }),
      options,
    );
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
    const objects = [fields.data, ...(fields.artefacts ?? [])];
    await Promise.all(objects.map((object) => this.#checkObject(id, object, options)));
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
  async uploadData(
    id: string,
    name: string,
    source: ImageSource,
    options: UploadDataOptions = {},
  ): Promise<UploadedObject> {
    assertObjectName(name);
    const { signal, onProgress, moveFrom } = options;
    const algorithms = digestAlgorithms(options.hash);
    const key = imageFolder(id) + name;
    if (moveFrom !== undefined && this.#store.moveIn !== undefined) {
      const digests = await hashImage(source, algorithms, { signal, onProgress });
      const moved = await this.#store.moveIn(key, moveFrom, { signal });
      if (moved) return { name, size: source.size, digests, etag: null, moved };
    }
    const policy = this.#policy;
    const sent = { key, source, algorithms, policy, signal, onProgress };
    return { name, ...(await uploadImage(this.#store, sent)), moved: false };
  }

  /** Stores a small object beside the data, and says what the record has to say of it. */
  async putArtefact(
    id: string,
    name: string,
    body: string | Uint8Array,
    options: CallOptions = {},
  ): Promise<ImageObject> {
    assertObjectName(name);
    const bytes = typeof body === 'string' ? Buffer.from(body) : body;
    await this.#store.create(imageFolder(id) + name, bytes, options);
    const sha256 = createHash('sha256').update(bytes).digest('hex');
    return { name, size: bytes.byteLength, sha256 };
  }

  /** By full id, alias, beginning of an id, or name. @throws IMAGE_NOT_FOUND, USAGE (several fit) */
  getImage(ref: string, options: CallOptions = {}): Promise<ImageRecord> {
    return findImage(this.#store, ref, options);
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
  async deleteImage(ref: string, options: DeleteOptions = {}): Promise<ImageRecord> {
    const { signal } = options;
    const found =
      (await readDeleted(this.#store, ref, { signal })) ?? (await this.getImage(ref, { signal }));
    if (found.status !== 'deleted' && !options.force)
      await this.#refuseAliased(found.id, { signal });
    const deleted =
      found.status === 'deleted' ? found : await this.#markDeleted(found.id, { signal });
    await this.#removeObjects(deleted, { signal });
    return deleted;
  }

  /**
   * The image's data as a file, verified. @throws IMAGE_STATUS unless it is active, INTEGRITY,
   * USAGE (the file is there), REGISTRY, NO_SPACE, INTERRUPTED
   */
  async pullImage(ref: string, file: string, options: PullOptions = {}): Promise<ImageRecord> {
    const record = await this.getImage(ref, { signal: options.signal });
    const { id, status, data } = record;
    if (status !== 'active' || data === null) {
      const message = `Image ${id} is ${status}; only an active image can be pulled.`;
      throw new PublishError('IMAGE_STATUS', message, { step: 'pull' });
    }
    const source = { key: imageFolder(id) + data.name, size: data.size, sha256: data.sha256 };
    await pullFile(this.#store, source, file, { ...options, policy: this.#policy });
    return record;
  }

  /**
   * Points the alias to an active image. @throws IMAGE_STATUS, IMAGE_NOT_FOUND, PRECONDITION_LOST
   * where somebody else moved it at the same time
   */
  async setAlias(
    alias: string,
    imageId: string,
    options: MoveOptions = {},
  ): Promise<{ alias: string; version: number }> {
    const record = await readRecord(this.#store, imageId, options);
    if (record === undefined) throw notFound(imageId, this.url);
    if (record.status !== 'active') {
      const message = `Image ${imageId} is ${record.status}; an alias points to active images only.`;
      throw new PublishError('IMAGE_STATUS', message, { step: 'alias' });
    }
    const { version } = await moveAlias(this.#store, alias, imageId, options);
    return { alias, version };
  }

  /** Where the alias points; `undefined` where it points nowhere. @throws USAGE */
  async resolveAlias(alias: string, options: CallOptions = {}): Promise<AliasRecord | undefined> {
    const record = await readAlias(this.#store, alias, options);
    return record?.image_id === null ? undefined : record;
  }

  listAliases(options: CallOptions = {}): AsyncIterable<AliasRecord> {
    return listAliasRecords(this.#store, options);
  }

  #setStatus(id: string, status: ImageStatus, options: CallOptions): Promise<ImageRecord> {
    return this.updateImage(id, (record) => ({ ...record, status }), options);
  }

  #markDeleted(id: string, options: CallOptions): Promise<ImageRecord> {
    return this.updateImage(
      id,
      (record) => {
        if (!record.protected) return { ...record, status: 'deleted' };
        const message = `Image ${id} is protected; take its protection away before deleting it.`;
        throw new PublishError('IMAGE_STATUS', message, { step: 'registry' });
      },
      options,
    );
  }

  async #refuseAliased(id: string, options: CallOptions): Promise<void> {
    for await (const { alias, image_id } of this.listAliases(options)) {
      if (image_id !== id) continue;
      const message = `Image ${id} is what alias ${alias} points to; move the alias, or force it.`;
      throw new PublishError('IMAGE_STATUS', message, { step: 'registry' });
    }
  }

  async #removeObjects({ id, version }: ImageRecord, options: CallOptions): Promise<void> {
    const keep = versionKey(recordFolder(id), version);
    const keys: string[] = [];
    for await (const { key } of this.#store.list(imageFolder(id), options)) {
      if (key !== keep) keys.push(key);
    }
    // Versions last and the oldest first: until then the image can be told from a stranger's files.
    const isRecord = (key: string) => key.startsWith(recordFolder(id));
    await this.#store.remove(
      keys.filter((key) => !isRecord(key)),
      options,
    );
    await this.#store.remove(keys.filter(isRecord), options);
  }

  async #checkObject(id: string, object: ImageObject, options: CallOptions): Promise<void> {
    const info = await this.#store.stat(imageFolder(id) + object.name, options);
    if (info?.size === object.size) return;
    const found = info === undefined ? 'is not there' : `has ${info.size} bytes`;
    const message = `${object.name} of image ${id} should have ${object.size} bytes but ${found}.`;
    throw new PublishError('INTEGRITY', message, { step: 'activate' });
  }
}

async function readDeleted(store: ObjectStore, ref: string, options: CallOptions) {
  if (!/^[0-9a-f-]{36}$/.test(ref)) return undefined;
  const record = await readRecord(store, ref, options);
  return record?.status === 'deleted' ? record : undefined;
}

function newRecord(fields: NewImage): ImageRecord {
  const now = new Date().toISOString();
  return assertRecord({
    id: randomUUID(),
    visibility: 'private',
    protected: false,
    os_hidden: false,
    tags: [],
    owner: null,
    virtual_size: null,
    min_disk: 0,
    min_ram: 0,
    properties: {},
    ...fields,
    version: 1,
    status: 'queued',
    container_format: 'bare',
    size: null,
    checksum: null,
    os_hash_algo: null,
    os_hash_value: null,
    created_at: now,
    updated_at: now,
    data: null,
    artefacts: [],
    status_reason: null,
  });
}
