// The registry's store in a directory: the same promises as a bucket, by link(2) and fsync.
// More than 200 lines: one short method for each call of the store, with nothing to follow.

import { lstat } from 'node:fs/promises';
import { join, resolve } from 'node:path';
import type { Readable } from 'node:stream';
import { interruption, throwIfInterrupted } from '../../core/deadline.ts';
import { PublishError } from '../../core/errors.ts';
import { fileError, type Need, orMissing } from '../../host/files/file-errors.ts';
import type { CallOptions, ObjectInfo } from '../object-info.ts';
import { assertKey } from '../object-key.ts';
import {
  type CreateOptions,
  type ListOptions,
  type ObjectStore,
  type OpenUpload,
  type PartUpload,
  type RangeOptions,
  type ReadOptions,
  SMALL_OBJECT_BYTES,
} from '../object-store.ts';
import { createFile, openRegular, readSmall, withFile } from './files.ts';
import { findGuests } from './guests.ts';
import { moveFile, removeFile } from './move.ts';
import { checkPlace, DIRECTORY_LIMITS, makePlace, type PlaceOptions } from './place.ts';
import { listStrays, removeStray } from './strays.ts';
import { DirectoryUpload, startDirectoryUpload } from './upload.ts';
import { readUploads } from './upload-files.ts';
import { sortedEntries, walkKeys } from './walk.ts';

const READ_CHUNK_BYTES = 1024 * 1024;
/** Keys that `listPages` gives at once. */
const PAGE = 1000;

export class DirectoryStore implements ObjectStore {
  readonly url: string;
  readonly limits = DIRECTORY_LIMITS;
  // No byte leaves the host, and the digests of the whole image are taken from the source anyway.
  readonly wantsPartMd5 = false;
  readonly #root: string;
  readonly #place: PlaceOptions;

  constructor(root: string, place: PlaceOptions = {}) {
    this.#root = resolve(root);
    this.#place = place;
    this.url = this.#root;
  }

  async checkAccess(options: CallOptions = {}): Promise<void> {
    await this.#do(`opening the registry ${this.url}`, options, () =>
      checkPlace(this.#root, this.#place),
    );
  }

  async makePlace(options: CallOptions = {}): Promise<void> {
    await this.#do(`making the registry ${this.url}`, options, () =>
      makePlace(this.#root, this.#place),
    );
  }

  async create(key: string, body: Uint8Array, options: CreateOptions = {}): Promise<void> {
    assertKey(key);
    await this.#do(`storing ${key} in ${this.url}`, options, () =>
      createFile(this.#root, key, body),
    );
  }

  async read(key: string, options: ReadOptions = {}): Promise<Uint8Array | undefined> {
    assertKey(key);
    return this.#look(`reading ${key} in ${this.url}`, options, async () => {
      const file = await openRegular(this.#root, key);
      if (file === undefined) return undefined;
      const { maxBytes = SMALL_OBJECT_BYTES } = options;
      return withFile(file, () => readSmall(file, maxBytes, `${key} in ${this.url}`));
    });
  }

  async openRead(key: string, options: RangeOptions = {}): Promise<Readable | undefined> {
    assertKey(key);
    const { start = 0, end, signal } = options;
    return this.#look(`reading ${key} in ${this.url}`, options, async () => {
      const file = await openRegular(this.#root, key);
      if (file === undefined) return undefined;
      // The caller has stopped waiting, and would not close it.
      if (signal?.aborted) {
        await file.close();
        throw interruption(signal, 'registry');
      }
      const last = end === undefined ? {} : { end: end - 1 };
      const stream = file.createReadStream({ start, ...last, highWaterMark: READ_CHUNK_BYTES });
      const onAbort = () => stream.destroy(interruption(signal, 'registry'));
      signal?.addEventListener('abort', onAbort, { once: true });
      // A reader gets the error from the stream; without a reader it must not end the process.
      stream.on('error', () => undefined);
      stream.once('close', () => signal?.removeEventListener('abort', onAbort));
      return stream;
    });
  }

  async stat(key: string, options: CallOptions = {}): Promise<ObjectInfo | undefined> {
    assertKey(key);
    return this.#look(`looking at ${key} in ${this.url}`, options, async () => {
      const facts = await orMissing(lstat(join(this.#root, key)));
      if (!facts?.isFile()) return undefined;
      return { key, size: facts.size, etag: null, lastModified: facts.mtime };
    });
  }

  async *list(prefix: string, options: ListOptions = {}): AsyncGenerator<ObjectInfo> {
    const keys = walkKeys(this.#root, prefix, options.startAfter);
    for (;;) {
      const next = await this.#look(`listing ${this.url}`, options, () => keys.next());
      if (next.done) return;
      // Removed since the folder was read.
      const info = await this.stat(next.value, options);
      if (info !== undefined) yield info;
    }
  }

  async *listPages(prefix: string, options: ListOptions = {}): AsyncGenerator<ObjectInfo[]> {
    let page: ObjectInfo[] = [];
    for await (const object of this.list(prefix, options)) {
      page.push(object);
      if (page.length < PAGE) continue;
      yield page;
      page = [];
    }
    if (page.length > 0) yield page;
  }

  async *listFolders(prefix: string, options: CallOptions = {}): AsyncGenerator<string> {
    const folder = prefix.slice(0, prefix.lastIndexOf('/') + 1);
    const names = await this.#look(`listing ${this.url}`, options, () =>
      sortedEntries(this.#root, folder),
    );
    const keys = names.map((name) => folder + name);
    yield* keys.filter((key) => key.endsWith('/') && key.startsWith(prefix));
  }

  async remove(keys: readonly string[], options: CallOptions = {}): Promise<void> {
    for (const key of keys) {
      assertKey(key);
      await this.#do(`removing ${key} in ${this.url}`, options, () => removeFile(this.#root, key));
    }
  }

  listStrays(): AsyncGenerator<ObjectInfo> {
    return listStrays(this.#root);
  }

  removeStray(key: string, options: CallOptions = {}): Promise<void> {
    return this.#do(`removing ${key}`, options, () => removeStray(this.#root, key));
  }

  findGuests(keys: readonly string[], options: CallOptions = {}): Promise<string[]> {
    return this.#look(`Looking for guests that use ${this.url}`, options, () =>
      findGuests(this.#root, keys),
    );
  }

  async moveIn(key: string, from: string, options: CallOptions = {}): Promise<boolean> {
    assertKey(key);
    return this.#do(`moving ${from} to ${key} in ${this.url}`, options, () =>
      moveFile(this.#root, from, key),
    );
  }

  async startUpload(key: string, options: CreateOptions = {}): Promise<PartUpload> {
    assertKey(key);
    return this.#do(`starting the upload of ${key}`, options, () =>
      startDirectoryUpload(this.#root, key),
    );
  }

  resumeUpload(key: string, uploadId: string): PartUpload {
    if (!/^[0-9a-f-]{36}$/.test(uploadId)) {
      throw new PublishError('USAGE', `${JSON.stringify(uploadId)} is no upload of ${this.url}`, {
        step: 'upload',
      });
    }
    assertKey(key);
    return new DirectoryUpload({ root: this.#root, key, uploadId });
  }

  async *listUploads(prefix: string, options: CallOptions = {}): AsyncGenerator<OpenUpload> {
    yield* await this.#look(`listing uploads in ${this.url}`, options, () =>
      readUploads(this.#root, prefix),
    );
  }

  #look<T>(doing: string, options: CallOptions, work: () => Promise<T>): Promise<T> {
    return this.#do(doing, options, work, 'read');
  }

  async #do<T>(
    doing: string,
    { signal }: CallOptions,
    work: () => Promise<T>,
    need: Need = 'write',
  ): Promise<T> {
    throwIfInterrupted(signal, 'registry');
    try {
      return await work();
    } catch (error) {
      throw fileError(error, doing, 'registry', need);
    }
  }
}
