// A registry of images: records that only gain versions, data verified both ways, names that move.
// More than 200 lines: the facade of the registry, one short method each with its contract.
import type { PublishError } from '../core/errors.ts';
import { listener, type OnEvent } from '../core/events.ts';
import { ignoreRejection } from '../core/ignore-rejection.ts';
import type { ImageSource } from '../host/io/image-source.ts';
import type { Capability } from '../store/capabilities/capability.ts';
import { cacheFolder, FirstWrite } from '../store/capabilities/first-write.ts';
import type { ProbeOptions } from '../store/capabilities/probe-capabilities.ts';
import type { CallOptions } from '../store/object-info.ts';
import type { ObjectStore } from '../store/object-store.ts';
import { openStore } from '../store/open-store.ts';
import { RetryingStore } from '../store/retrying/retrying-store.ts';
import { waitNotes } from '../store/retrying/wait-notes.ts';
import type { PullOptions } from '../transfer/download/pull-file.ts';
import { RateLimit, withTimeForRate } from '../transfer/upload/rate-limit.ts';
import type { UploadPolicy } from '../transfer/upload/upload-types.ts';
import { type RollbackOptions, readAliasLog, rollbackAlias } from './aliases/alias-log.ts';
import { type AliasRecord, listAliasRecords, noAlias, readAlias } from './aliases/aliases.ts';
import {
  type MoveOptions,
  pointAlias,
  type RemoveAliasOptions,
  removeAlias,
} from './aliases/move-alias.ts';
import { findImage } from './catalog/find-image.ts';
import { findImagesBySize } from './catalog/images-by-size.ts';
import { type ImagePage, selectPage } from './catalog/list-query.ts';
import { listRecords, refreshCheckpoint } from './catalog/list-records.ts';
import type { ListQuery } from './catalog/query-parts.ts';
import type { CopiedImage } from './copy-image.ts';
import { readDefaults } from './defaults.ts';
import { deleteImage } from './lifecycle/delete-image.ts';
import { discardImage, killRecord, saveRecord } from './lifecycle/discard-image.ts';
import { collectGarbage, type GarbageOptions } from './lifecycle/garbage.ts';
import type { Garbage } from './lifecycle/image-garbage.ts';
import { type Pruned, type PruneOptions, pruneImages } from './lifecycle/prune-images.ts';
import type { RetentionPolicy } from './lifecycle/retention.ts';
import type { Verified, VerifyOptions } from './lifecycle/verify-image.ts';
import { assertRegistry, holdsRegistry, makeRegistry } from './presence.ts';
import type { DiskChoice } from './pull-image.ts';
import type { ImageObject, ImageRecord } from './record/image.ts';
import {
  applyChanges,
  deactivated,
  type ImageChanges,
  reactivated,
} from './record/image-changes.ts';
import { allObjects, asStored } from './record/image-objects.ts';
import {
  type ChangeOptions,
  changeRecord,
  readRecord,
  recordFolder,
} from './record/image-records.ts';
import { isImageId } from './record/names.ts';
import { newRecord } from './record/new-image.ts';
import { createVersion } from './record/records.ts';
import type { OnUnreadable } from './record/unreadable.ts';
import type {
  ActiveFields,
  DeleteOptions,
  ListImagesOptions,
  NewImage,
  RegistryOptions,
  UploadDataOptions,
  UploadedObject,
} from './registry-types.ts';

export { parseSort } from './catalog/list-query.ts';
export { SORT_KEYS } from './catalog/query-parts.ts';
export type { ActiveFields, NewImage, RegistryOptions, UploadedObject } from './registry-types.ts';
export { sumLines } from './sums.ts';

// NOTE: the code that moves data is loaded on first use: `list` would load twice as much with it.
const dataModule = () => import('./image-data.ts');

/** Ids are random: every 256th image that becomes active has such an id, and writes a checkpoint. */
const CHECKPOINT_TURN = /00$/;

/**
 * Opens a registry: `s3://bucket/prefix`, `file:///directory` or a directory's path. Makes no
 * request; `checkAccess` does.
 * @throws USAGE, CONFIG
 */
export async function openRegistry(url: string, options: RegistryOptions = {}): Promise<Registry> {
  const defaults = readDefaults();
  const policy = withTimeForRate({ ...defaults.upload, ...options.upload });
  const requestMs = options.requestTimeoutMs ?? defaults.requestMs;
  const { s3, mode, isDefault: makeParents } = options;
  const place = { s3, mode, makeParents };
  const store = await openStore(url, { ...place, requestMs, partMs: policy.partMs });
  return new Registry(store, policy, options);
}

/**
 * Every method takes a signal and none keeps one: what undoes (killImage) is called without, and
 * runs when the run's own signal has long fired.
 */
export class Registry {
  readonly url: string;
  readonly #store: ObjectStore;
  /** The same with nothing retried: probes want the first answer. */
  readonly #bare: ObjectStore;
  readonly #policy: UploadPolicy;
  readonly #firstWrite: FirstWrite | undefined;
  readonly #isDefault: boolean;
  readonly #report: OnEvent | undefined;
  #making: Promise<void> | undefined;
  /** Reports what cannot be read to `onEvent`, each once. */
  readonly #warn: OnUnreadable;

  /** `store` makes each request once; the registry retries by `policy`. */
  constructor(
    store: ObjectStore,
    policy: UploadPolicy,
    {
      cacheDir,
      isDefault = false,
      onEvent,
    }: Pick<RegistryOptions, 'cacheDir' | 'isDefault' | 'onEvent'> = {},
  ) {
    const folder = cacheDir === undefined ? undefined : cacheFolder(cacheDir, store);
    const warned = new Set<string>();
    const report = onEvent && listener(onEvent);
    this.#report = report;
    this.#isDefault = isDefault;
    this.#warn = ({ message, hint }) => {
      if (warned.size === warned.add(message).size) return;
      const text = `${message}; ${hint}`;
      report?.({ type: 'note', level: 'warning', step: 'registry', message: text });
    };
    // Without a listener there is no one to warn.
    if (report !== undefined) this.#firstWrite = new FirstWrite(store, folder, report);
    const onWait = report && waitNotes(store, report);
    this.#store = new RetryingStore(store, { ...policy, onWait });
    this.#bare = store;
    this.#policy = { ...policy, rate: new RateLimit((policy.rateMib ?? 0) * 1024 * 1024) };
    this.url = store.url;
  }

  /** The directory of the registry, whose free space it uses; null for a bucket. */
  get directory(): string | null {
    return this.#store.moveIn === undefined ? null : this.url;
  }

  /**
   * Makes one cheap request that shows whether images can be published there. Creates nothing.
   * @throws REGISTRY with the cause: bucket, credentials, server or directory.
   */
  checkAccess(options: CallOptions = {}): Promise<void> {
    return this.#store.checkAccess(options);
  }

  /** Whether there is an image or an alias, even one that was deleted. */
  exists(options: CallOptions = {}): Promise<boolean> {
    return holdsRegistry(this.#store, options);
  }

  /** @throws REGISTRY if there is no registry; the default one and an empty bucket count as empty registries. */
  async assertExists(options: CallOptions = {}): Promise<void> {
    if (this.#isDefault || (await assertRegistry(this.#store, options))) return;
    const message = `nothing is published at ${this.url} yet: its bucket is empty`;
    this.#report?.({ type: 'note', level: 'warning', step: 'registry', message });
  }

  /** Loads what an upload needs, in the background: for who waits for something else meanwhile. */
  prepareUpload(): void {
    ignoreRejection(dataModule());
    this.#store.prepare?.();
  }

  /** Probes what the store can do, below a prefix that is removed again. @throws if it cannot be used */
  async probeCapabilities(options: ProbeOptions = {}): Promise<Capability[]> {
    const { probeCapabilities } = await import('../store/capabilities/probe-capabilities.ts');
    return probeCapabilities(this.#bare, options);
  }

  /** The server's own clock, to the second; `undefined` if there is no server. */
  async serverTime(options: CallOptions = {}): Promise<Date | undefined> {
    return this.#store.serverTime?.(options);
  }

  /**
   * Version 1 of a new image, `queued`; the first one makes the registry.
   * @throws USAGE, REGISTRY, PRECONDITION_LOST (the id is taken)
   */
  async queueImage(fields: NewImage, options: CallOptions = {}): Promise<ImageRecord> {
    const record = newRecord(fields);
    await this.#makeIfNew(options);
    await this.#firstWrite?.check(options);
    await createVersion(this.#store, recordFolder(record.id), 1, record, options);
    return record;
  }

  /**
   * The next version of a record; `change` may be called several times, on newer states.
   * @throws IMAGE_NOT_FOUND, IMAGE_STATUS, USAGE, PRECONDITION_LOST
   */
  async updateImage(
    id: string,
    change: (record: ImageRecord) => ImageRecord,
    options: ChangeOptions = {},
  ): Promise<ImageRecord> {
    await this.#firstWrite?.check(options);
    return changeRecord(this.#store, id, change, options);
  }

  /** An image that is `saving` already gets no new version. @throws IMAGE_NOT_FOUND, IMAGE_STATUS */
  async markSaving(id: string, options: CallOptions = {}): Promise<ImageRecord> {
    await this.#firstWrite?.check(options);
    return saveRecord(this.#store, id, options);
  }

  /** The image failed; an image that is killed already keeps its first reason. */
  killImage(id: string, reason: string, options: CallOptions = {}): Promise<ImageRecord> {
    return killRecord(this.#store, id, reason, options);
  }

  /**
   * Removes what a failed image left: its record becomes `killed` with the reason, its uploads are
   * aborted, its objects removed. An image that became active is not changed.
   */
  discardImage(
    id: string,
    reason: string,
    options: CallOptions = {},
  ): Promise<ImageRecord | undefined> {
    return discardImage(this.#store, id, reason, options);
  }

  /**
   * Makes the image one that readers see, after asking the store that its objects are there.
   * @throws INTEGRITY if one is not, or has another size; IMAGE_STATUS
   */
  async activateImage(
    id: string,
    fields: ActiveFields,
    options: CallOptions = {},
  ): Promise<ImageRecord> {
    const objects = { ...fields, artefacts: fields.artefacts ?? [] };
    const { checkObjects } = await dataModule();
    const stored = await checkObjects(this.#store, id, allObjects(objects), options);
    const whole = { ...fields, ...asStored(objects, stored), size: fields.data?.size ?? 0 };
    const change = (record: ImageRecord): ImageRecord => ({
      ...record,
      ...whole,
      status: 'active',
    });
    const active = await this.updateImage(id, change, options);
    if (CHECKPOINT_TURN.test(id)) await this.#refreshCheckpoint(options);
    return active;
  }

  /**
   * Stores the data of an image as `images/<id>/<name>`: moved if that is allowed and possible, else
   * uploaded in parts. Digests are computed on the way.
   * @throws UPLOAD, INTEGRITY, REGISTRY, INTERRUPTED; no part of an upload is left behind.
   */
  async uploadData(
    id: string,
    name: string,
    source: ImageSource,
    options: UploadDataOptions = {},
  ): Promise<UploadedObject> {
    const checksums = (await this.#firstWrite?.refusesWrongChecksum(options)) ?? false;
    const how = { policy: this.#policy, checksums };
    const { uploadData } = await dataModule();
    return uploadData(this.#store, { id, name, source, ...how, ...options });
  }

  /** Stores a small object beside the data, and returns its entry for the record. */
  async putArtefact(
    id: string,
    name: string,
    body: string | Uint8Array,
    options: CallOptions = {},
  ): Promise<ImageObject> {
    const { putArtefact } = await dataModule();
    return putArtefact(this.#store, { id, name, body }, options);
  }

  /** Finds an image by id, alias, beginning of an id, or name. @throws IMAGE_NOT_FOUND, USAGE (several match) */
  getImage(ref: string, options: CallOptions = {}): Promise<ImageRecord> {
    return findImage(this.#store, ref, this.#walk(options));
  }

  /** Returns the active images whose data has exactly this many bytes. */
  findImagesBySize(size: number, options: CallOptions = {}): Promise<ImageRecord[]> {
    return findImagesBySize(this.#store, size, options);
  }

  /** The newest record of each image, by id; see ListImagesOptions for those that cannot be read. */
  async *listImages({
    all = false,
    ...options
  }: ListImagesOptions = {}): AsyncGenerator<ImageRecord> {
    for await (const some of listRecords(this.#store, this.#walk(options))) {
      for (const record of some)
        if (all || (record.status !== 'deleted' && record.status !== 'killed')) yield record;
    }
  }

  /**
   * One page of the images that pass the query; `marker`: the last image before it, deleted or not, by
   * its id, or else as `getImage` takes it.
   */
  async queryImages(
    query: ListQuery,
    { marker, signal }: CallOptions & { marker?: string | undefined } = {},
  ): Promise<ImagePage> {
    const after = marker === undefined ? undefined : await this.#markedRecord(marker, { signal });
    const images = listRecords(this.#store, this.#walk({ signal }));
    return selectPage(images, query, after);
  }

  /** @throws IMAGE_NOT_FOUND, USAGE */
  async changeImage(
    ref: string,
    changes: ImageChanges,
    options: ChangeOptions = {},
  ): Promise<ImageRecord> {
    const { id } = await this.getImage(ref, options);
    return this.updateImage(id, (record) => applyChanges(record, changes), options);
  }

  /** Deactivates an image: `pull` then refuses it. @throws IMAGE_NOT_FOUND, IMAGE_STATUS */
  async deactivateImage(ref: string, options: CallOptions = {}): Promise<ImageRecord> {
    const image = await this.getImage(ref, options);
    if (image.status === 'deactivated') return image;
    return this.updateImage(image.id, (record) => deactivated(record), options);
  }

  /**
   * One that `verify` found damaged is read again first.
   * @throws IMAGE_NOT_FOUND, IMAGE_STATUS, INTEGRITY (it still is damaged)
   */
  async reactivateImage(ref: string, options: CallOptions = {}): Promise<ImageRecord> {
    const image = await this.getImage(ref, options);
    if (image.status === 'active') return image;
    const { assertUndamaged } = await import('./lifecycle/verify-image.ts');
    await assertUndamaged(this.#store, image, { ...options, policy: this.#policy });
    return this.updateImage(image.id, reactivated, options);
  }

  /** Reads everything back (or asks the store, `quick`); a damaged image is deactivated. */
  async verifyImage(ref: string, options: Omit<VerifyOptions, 'policy'> = {}): Promise<Verified> {
    const image = await this.getImage(ref, options);
    const { verifyImage } = await import('./lifecycle/verify-image.ts');
    return verifyImage(this.#store, image, { ...options, policy: this.#policy });
  }

  /** Deletes what the policy does not keep. @throws USAGE if it keeps nothing */
  pruneImages(policy: RetentionPolicy, options: PruneOptions = {}): Promise<Pruned[]> {
    return pruneImages(this.#store, policy, this.#walk(options));
  }

  /** Keeps the `count` newest images in line with this one (of its disk, under its name). */
  keepLast(image: ImageRecord, count: number, options: CallOptions = {}): Promise<Pruned[]> {
    return this.pruneImages({ last: count }, { ...options, like: image });
  }

  /** Yields what no record owns, and removes it first if `remove` is set. */
  collectGarbage(options: GarbageOptions): AsyncGenerator<Garbage> {
    const checkpoints = this.#checkpoints;
    return collectGarbage(this.#store, { onUnreadable: this.#warn, checkpoints, ...options });
  }

  /** Copies an image to another registry, under the same id. @throws what `copyImage` throws */
  async copyImage(
    ref: string,
    target: Registry,
    options: CallOptions & { onProgress?: ((bytes: number) => void) | undefined } = {},
  ): Promise<CopiedImage> {
    const image = await this.getImage(ref, options);
    await target.#makeIfNew(options);
    await target.#firstWrite?.check(options);
    const stores = { from: this.#store, to: target.#store, policy: target.#policy };
    const { copyImage } = await import('./copy-image.ts');
    return copyImage({ ...options, ...stores, image });
  }

  /**
   * The record first, so that no reader sees an image without data; then everything but it. Called
   * again on an image that is deleted, by its full id, it removes what is left.
   * @throws IMAGE_NOT_FOUND, IMAGE_STATUS (protected, or an alias points to it)
   */
  async deleteImage(ref: string, options: DeleteOptions = {}): Promise<ImageRecord> {
    await this.#firstWrite?.check(options);
    return deleteImage(this.#store, ref, { onUnreadable: this.#warn, ...options });
  }

  /**
   * The data of one disk, or one artefact, as a file, verified. @throws IMAGE_STATUS unless it is
   * active, INTEGRITY, USAGE (the file exists, several disks, no such artefact), REGISTRY,
   * NO_SPACE, INTERRUPTED
   */
  async pullImage(
    ref: string,
    file: string,
    options: PullOptions & DiskChoice & { artefact?: string } = {},
  ): Promise<ImageRecord> {
    const record = await this.getImage(ref, { signal: options.signal });
    const { pullImage } = await import('./pull-image.ts');
    await pullImage(this.#store, record, file, { ...options, policy: this.#policy });
    return record;
  }

  /**
   * The bytes of one disk, or one artefact, in order; verified when the last one was read.
   * @throws IMAGE_NOT_FOUND, IMAGE_STATUS, USAGE; the chunks: INTEGRITY, REGISTRY, INTERRUPTED
   */
  async readImage(
    ref: string,
    options: DiskChoice & CallOptions & { artefact?: string | undefined } = {},
  ): Promise<{ image: ImageRecord; object: ImageObject; chunks: AsyncGenerator<Uint8Array> }> {
    const image = await this.getImage(ref, { signal: options.signal });
    const { readImage } = await import('./read-image.ts');
    return { image, ...readImage(this.#store, image, { ...options, policy: this.#policy }) };
  }

  /**
   * A link to the data of one disk that works without credentials for `expiresSeconds` seconds. It is a
   * secret. @throws IMAGE_STATUS unless it is active, USAGE if the registry is a directory
   */
  async presignImage(
    ref: string,
    options: { expiresSeconds: number } & DiskChoice & CallOptions,
  ): Promise<{ image: ImageRecord; url: string }> {
    const image = await this.getImage(ref, { signal: options.signal });
    const { presignImage } = await import('./pull-image.ts');
    return { image, url: await presignImage(this.#store, image, options) };
  }

  /**
   * Points the alias to an active image, which is not deleted meanwhile (see pointAlias).
   * @throws IMAGE_STATUS, IMAGE_NOT_FOUND, PRECONDITION_LOST
   * if another client moved it at the same time
   */
  async setAlias(alias: string, imageId: string, options: MoveOptions = {}): Promise<AliasRecord> {
    await this.#firstWrite?.check(options);
    return pointAlias(this.#store, alias, imageId, options);
  }

  /** Removes an alias; its history stays, and a later move continues it. @throws what `removeAlias` throws */
  async removeAlias(alias: string, options: RemoveAliasOptions = {}): Promise<AliasRecord> {
    await this.#firstWrite?.check(options);
    return removeAlias(this.#store, alias, options);
  }

  /** Returns the alias's newest move; `undefined` if it points to no image. @throws USAGE */
  async resolveAlias(alias: string, options: CallOptions = {}): Promise<AliasRecord | undefined> {
    const record = await readAlias(this.#store, alias, options);
    return record?.image_id === null ? undefined : record;
  }

  /** Every move of the alias, oldest first. @throws USAGE, IMAGE_NOT_FOUND (it was never set) */
  async aliasLog(alias: string, options: CallOptions = {}): Promise<AliasRecord[]> {
    const onUnreadable = this.#warn;
    const log = await readAliasLog(this.#store, alias, { ...options, onUnreadable });
    if (log.length === 0) throw await noAlias(this.#store, alias, options);
    return log;
  }

  /** Creates a next version with the image of an earlier one. @throws what `rollbackAlias` throws */
  async rollbackAlias(alias: string, options: RollbackOptions = {}): Promise<AliasRecord> {
    await this.#firstWrite?.check(options);
    return rollbackAlias(this.#store, alias, { onUnreadable: this.#warn, ...options });
  }

  listAliases(options: CallOptions = {}): AsyncIterable<AliasRecord> {
    return listAliasRecords(this.#store, { onUnreadable: this.#warn, ...options });
  }

  /** Runs before the first image of this process. A bucket needs no preparation; it is reported. */
  async #makeIfNew(options: CallOptions): Promise<void> {
    if (this.#report === undefined && this.directory === null) return;
    this.#making ??= makeRegistry(this.#store, options).then((isNew) => {
      const message = `made a new registry at ${this.url}`;
      if (isNew) this.#report?.({ type: 'note', level: 'info', step: 'registry', message });
    });
    await this.#making;
  }

  async #refreshCheckpoint(options: CallOptions): Promise<void> {
    const checkpoints = this.#checkpoints;
    if (checkpoints !== undefined) await refreshCheckpoint(this.#store, checkpoints, options);
  }

  /** The store for catalog checkpoints; undefined for a directory, whose records are read as fast. */
  get #checkpoints(): ObjectStore | undefined {
    return this.#bare.location === undefined ? undefined : this.#bare;
  }

  /** The options of every walk over all images. */
  #walk<Options extends CallOptions & { onUnreadable?: OnUnreadable | undefined }>(
    options: Options,
  ) {
    const onUnreadable = (error: PublishError) => {
      this.#warn(error);
      options.onUnreadable?.(error);
    };
    return { ...options, onUnreadable, checkpoints: this.#checkpoints };
  }

  async #markedRecord(ref: string, options: CallOptions): Promise<ImageRecord> {
    const record = isImageId(ref) ? await readRecord(this.#store, ref, options) : undefined;
    return record ?? this.getImage(ref, options);
  }
}
