// The registry's store in a directory: the same promises as a bucket, by link(2) and fsync.
import { randomUUID } from 'node:crypto';
import {
  access,
  chmod,
  constants,
  lstat,
  open,
  readdir,
  readFile,
  rmdir,
  unlink,
} from 'node:fs/promises';
import { basename, dirname, join, resolve } from 'node:path';
import type { Readable } from 'node:stream';
import { PublishError, type Step } from '../errors.ts';
import { interruption, throwIfInterrupted } from './deadline.ts';
import {
  assertInside,
  byBytes,
  createFile,
  FILE_MODE,
  fileError,
  hasCode,
  isRegularFile,
  linkInto,
  makeFolder,
  openRegular,
  orMissing,
  sortedEntries,
  syncFolder,
  UPLOADS_FOLDER,
  walkKeys,
  withFile,
} from './directory-files.ts';
import { DirectoryUpload, readUploadKey, startDirectoryUpload } from './directory-upload.ts';
import {
  assertKey,
  type CallOptions,
  type CreateOptions,
  type ListOptions,
  type ObjectInfo,
  type ObjectStore,
  type OpenUpload,
  type PartUpload,
  type RangeOptions,
  SMALL_OBJECT_BYTES,
  type StoreLimits,
} from './object-store.ts';

const TIB = 1024 ** 4;
const READ_CHUNK_BYTES = 1024 * 1024;

export class DirectoryStore implements ObjectStore {
  readonly url: string;
  readonly limits: StoreLimits = {
    minPartBytes: 1,
    maxPartBytes: 5 * TIB,
    maxParts: 10_000,
    maxObjectBytes: 5 * TIB,
  };
  // No byte leaves the machine, and the digests of the whole are taken from the source anyway.
  readonly wantsPartMd5 = false;
  readonly #root: string;

  constructor(root: string) {
    this.#root = resolve(root);
    this.url = this.#root;
  }

  async checkAccess(options: CallOptions = {}): Promise<void> {
    await this.#do(`Opening the registry ${this.url}`, options, async () => {
      await makeFolder(this.#root, this.#root);
      await access(this.#root, constants.R_OK | constants.W_OK | constants.X_OK);
    });
  }

  async create(key: string, body: Uint8Array, options: CreateOptions = {}): Promise<void> {
    const path = this.#path(key);
    await this.#do(`Storing ${key} in ${this.url}`, options, () =>
      createFile(this.#root, path, body),
    );
  }

  async read(key: string, options: CallOptions = {}): Promise<Uint8Array | undefined> {
    const path = this.#path(key);
    return this.#do(`Reading ${key} in ${this.url}`, options, async () => {
      const file = await openRegular(this.#root, path);
      if (file === undefined) return undefined;
      return withFile(file, async () => {
        const { size } = await file.stat();
        if (size <= SMALL_OBJECT_BYTES) return readFile(file);
        const message = `${key} in ${this.url} has ${size} bytes, more than such an object can have.`;
        throw new PublishError('INTEGRITY', message, { step: 'registry' });
      });
    });
  }

  async openRead(key: string, options: RangeOptions = {}): Promise<Readable | undefined> {
    const path = this.#path(key);
    const { start = 0, end, signal } = options;
    return this.#do(`Reading ${key} in ${this.url}`, options, async () => {
      const file = await openRegular(this.#root, path);
      if (file === undefined) return undefined;
      const last = end === undefined ? {} : { end: end - 1 };
      const stream = file.createReadStream({ start, ...last, highWaterMark: READ_CHUNK_BYTES });
      const onAbort = () => stream.destroy(interruption(signal, 'registry'));
      signal?.addEventListener('abort', onAbort, { once: true });
      stream.once('close', () => signal?.removeEventListener('abort', onAbort));
      return stream;
    });
  }

  async stat(key: string, options: CallOptions = {}): Promise<ObjectInfo | undefined> {
    const path = this.#path(key);
    return this.#do(`Looking at ${key} in ${this.url}`, options, async () => {
      const facts = await orMissing(lstat(path));
      if (!facts?.isFile()) return undefined;
      return { key, size: facts.size, etag: null, lastModified: facts.mtime };
    });
  }

  async *list(prefix: string, options: ListOptions = {}): AsyncGenerator<ObjectInfo> {
    const keys = walkKeys(this.#root, prefix, options.startAfter);
    for (;;) {
      const next = await this.#do(`Listing ${this.url}`, options, () => keys.next());
      if (next.done) return;
      // Removed since the folder was read: not there is not there.
      const info = await this.stat(next.value, options);
      if (info !== undefined) yield info;
    }
  }

  async *listFolders(prefix: string, options: CallOptions = {}): AsyncGenerator<string> {
    const folder = prefix.slice(0, prefix.lastIndexOf('/') + 1);
    const names = await this.#do(`Listing ${this.url}`, options, () =>
      sortedEntries(this.#root, folder),
    );
    const keys = names.map((name) => folder + name);
    yield* keys.filter((key) => key.endsWith('/') && key.startsWith(prefix));
  }

  async remove(keys: readonly string[], options: CallOptions = {}): Promise<void> {
    for (const key of keys) {
      const path = this.#path(key);
      await this.#do(`Removing ${key} in ${this.url}`, options, () => this.#remove(path));
    }
  }

  async moveIn(key: string, from: string, options: CallOptions = {}): Promise<boolean> {
    const path = this.#path(key);
    return this.#do(`Moving ${from} to ${key} in ${this.url}`, options, async () => {
      const facts = await lstat(from);
      // Under another name somebody could go on writing into what is published.
      if (!facts.isFile() || facts.nlink !== 1) return false;
      await makeFolder(this.#root, dirname(path));
      if ((await lstat(dirname(path))).dev !== facts.dev) return false;
      await chmod(from, FILE_MODE);
      const file = await open(from, 'r');
      await withFile(file, () => file.sync());
      if (!(await linked(linkInto(this.#root, from, path)))) return false;
      await unlink(from);
      return true;
    });
  }

  async startUpload(key: string, options: CreateOptions = {}): Promise<PartUpload> {
    const path = this.#path(key);
    return this.#do(`Starting the upload of ${key}`, options, async () => {
      const uploadId = randomUUID();
      await startDirectoryUpload(this.#root, key, uploadId);
      return new DirectoryUpload({ root: this.#root, key, path, uploadId });
    });
  }

  resumeUpload(key: string, uploadId: string): PartUpload {
    if (!/^[0-9a-f-]{36}$/.test(uploadId)) {
      throw new PublishError('USAGE', `${uploadId} is no upload of ${this.url}.`, {
        step: 'upload',
      });
    }
    return new DirectoryUpload({ root: this.#root, key, path: this.#path(key), uploadId });
  }

  async *listUploads(prefix: string, options: CallOptions = {}): AsyncGenerator<OpenUpload> {
    const folder = join(this.#root, UPLOADS_FOLDER);
    const uploads = await this.#do(`Listing uploads in ${this.url}`, options, async () => {
      const names = (await orMissing(readdir(folder))) ?? [];
      const ids = names
        .filter((name) => name.endsWith('.json'))
        .map((name) => basename(name, '.json'));
      const found: OpenUpload[] = [];
      for (const uploadId of ids) {
        const open = await readUploadKey(this.#root, uploadId);
        if (open?.key.startsWith(prefix)) found.push({ ...open, uploadId });
      }
      return found.sort((a, b) => byBytes(a.key, b.key));
    });
    yield* uploads;
  }

  async #remove(path: string): Promise<void> {
    if (!(await isRegularFile(path))) return;
    await assertInside(this.#root, dirname(path));
    await orMissing(unlink(path));
    // A folder that is empty now goes too, as in a bucket; one that is not stays.
    for (let at = dirname(path); at !== this.#root; at = dirname(at)) {
      if (!(await removedEmpty(at))) return;
    }
  }

  #path(key: string): string {
    assertKey(key);
    return join(this.#root, key);
  }

  async #do<T>(doing: string, { signal }: CallOptions, work: () => Promise<T>): Promise<T> {
    const step: Step = 'registry';
    throwIfInterrupted(signal, step);
    try {
      return await work();
    } catch (error) {
      throw fileError(error, doing, step);
    }
  }
}

/** False where this pair of file systems, or this one, has no hard links. */
async function linked(linking: Promise<void>): Promise<boolean> {
  try {
    await linking;
    return true;
  } catch (error) {
    if (hasCode(error, 'EXDEV', 'EPERM', 'EMLINK', 'ENOTSUP')) return false;
    throw error;
  }
}

async function removedEmpty(folder: string): Promise<boolean> {
  try {
    await rmdir(folder);
    await syncFolder(dirname(folder));
    return true;
  } catch (error) {
    if (hasCode(error, 'ENOTEMPTY', 'EEXIST', 'ENOENT')) return false;
    throw error;
  }
}
