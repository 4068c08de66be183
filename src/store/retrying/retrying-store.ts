// A store whose requests are retried if that can help; the stores themselves retry nothing.
import type { Readable } from 'node:stream';
import { PublishError } from '../../core/errors.ts';
import type { CallOptions, ObjectInfo, StoreLocation } from '../object-info.ts';
import type {
  CreateOptions,
  ListOptions,
  ObjectStore,
  OpenUpload,
  PartUpload,
  RangeOptions,
  ReadOptions,
} from '../object-store.ts';
import { optionalMethods } from './optional-methods.ts';
import { type RetryPolicy, withRetries } from './retry.ts';
import { RetryingUpload } from './retrying-upload.ts';

/**
 * Wraps `store`. Two calls are passed on unchanged: `putPart`, since the sender of a part also
 * checks the result, and retries both together; and the bytes of `openRead`, since only the
 * reader knows how far it got.
 */
export class RetryingStore implements ObjectStore {
  readonly url: string;
  readonly limits;
  readonly wantsPartMd5: boolean;
  readonly location?: StoreLocation;
  readonly isVacant?: NonNullable<ObjectStore['isVacant']>;
  readonly makePlace?: NonNullable<ObjectStore['makePlace']>;
  readonly moveIn?: NonNullable<ObjectStore['moveIn']>;
  readonly prepare?: NonNullable<ObjectStore['prepare']>;
  readonly serverTime?: NonNullable<ObjectStore['serverTime']>;
  readonly presign?: NonNullable<ObjectStore['presign']>;
  readonly followLink?: NonNullable<ObjectStore['followLink']>;
  readonly listStrays?: NonNullable<ObjectStore['listStrays']>;
  readonly removeStray?: NonNullable<ObjectStore['removeStray']>;
  readonly findGuests?: NonNullable<ObjectStore['findGuests']>;
  readonly #store: ObjectStore;
  readonly #policy: RetryPolicy;

  constructor(store: ObjectStore, policy: RetryPolicy) {
    this.#store = store;
    this.#policy = policy;
    this.url = store.url;
    this.limits = store.limits;
    this.wantsPartMd5 = store.wantsPartMd5;
    if (store.location !== undefined) this.location = store.location;
    Object.assign(this, optionalMethods(store));
  }

  checkAccess(options: CallOptions = {}): Promise<void> {
    return this.#retry(options, () => this.#store.checkAccess(options));
  }

  read(key: string, options: ReadOptions = {}): Promise<Uint8Array | undefined> {
    return this.#retry(options, () => this.#store.read(key, options));
  }

  openRead(key: string, options: RangeOptions = {}): Promise<Readable | undefined> {
    return this.#retry(options, () => this.#store.openRead(key, options));
  }

  stat(key: string, options: CallOptions = {}): Promise<ObjectInfo | undefined> {
    return this.#retry(options, () => this.#store.stat(key, options));
  }

  async *list(prefix: string, options: ListOptions = {}): AsyncGenerator<ObjectInfo> {
    for await (const page of this.listPages(prefix, options)) yield* page;
  }

  /** Goes on after the last key it gave, so that a page that fails costs only that page. */
  async *listPages(
    prefix: string,
    options: ListOptions = {},
  ): AsyncGenerator<readonly ObjectInfo[]> {
    let startAfter = options.startAfter;
    const open = () => {
      const from = startAfter === undefined ? options : { ...options, startAfter };
      return this.#store.listPages(prefix, from)[Symbol.asyncIterator]();
    };
    let pages = open();
    for (;;) {
      const next = await this.#retry(options, async (attempt) => {
        if (attempt > 1) pages = open();
        return pages.next();
      });
      if (next.done) return;
      startAfter = next.value.at(-1)?.key ?? startAfter;
      yield next.value;
    }
  }

  async *listFolders(prefix: string, options: CallOptions = {}): AsyncGenerator<string> {
    yield* await this.#retry(options, () => collect(this.#store.listFolders(prefix, options)));
  }

  async *listUploads(prefix: string, options: CallOptions = {}): AsyncGenerator<OpenUpload> {
    yield* await this.#retry(options, () => collect(this.#store.listUploads(prefix, options)));
  }

  /**
   * NOTE: after a lost answer to a create, the next attempt finds that the key exists; so does the
   * first one if a relay between (nginx, for a PUT) retried by itself. The object is this
   * client's own exactly if it has the same bytes: every body in a possible race has a random `write_id`. So two
   * writers never write the same bytes, and a race has one winner.
   */
  create(key: string, body: Uint8Array, options: CreateOptions = {}): Promise<void> {
    return this.#retry(options, async () => {
      try {
        await this.#store.create(key, body, options);
      } catch (error) {
        const lost = error instanceof PublishError && error.code === 'PRECONDITION_LOST';
        if (!lost) throw error;
        if (!(await holds(this.#store, { key, body }, options))) throw error;
      }
    });
  }

  remove(keys: readonly string[], options: CallOptions = {}): Promise<void> {
    return this.#retry(options, () => this.#store.remove(keys, options));
  }

  /**
   * A start whose answer was lost leaves an open upload of unknown id. Such uploads are found by
   * their key, which no other run has, and aborted; after a failure all of them, whatever the signal.
   */
  async startUpload(key: string, options: CreateOptions = {}): Promise<PartUpload> {
    let attempts = 0;
    try {
      const upload = await this.#retry(options, (attempt) => {
        attempts = attempt;
        return this.#store.startUpload(key, options);
      });
      if (attempts > 1) await this.#endUploads(key, upload.uploadId, options);
      return new RetryingUpload(upload, this.#policy);
    } catch (error) {
      const refused = error instanceof PublishError && !error.retryable && !options.signal?.aborted;
      if (attempts === 0 || (attempts === 1 && refused)) throw error;
      throw await this.#endAfter(error, key);
    }
  }

  resumeUpload(key: string, uploadId: string): PartUpload {
    return new RetryingUpload(this.#store.resumeUpload(key, uploadId), this.#policy);
  }

  async #endUploads(key: string, butId: string | undefined, options: CallOptions): Promise<void> {
    for await (const open of this.listUploads(key, options)) {
      if (open.key !== key || open.uploadId === butId) continue;
      await this.resumeUpload(key, open.uploadId).abort(options);
    }
  }

  async #endAfter(error: unknown, key: string): Promise<unknown> {
    try {
      await this.#endUploads(key, undefined, {});
      return error;
    } catch (endError) {
      if (!(error instanceof PublishError && endError instanceof PublishError)) return error;
      const { code, step = 'upload', retryable } = error;
      const message = `${error.message}; a multipart upload of ${key} may stay open: ${endError.message}`;
      const undoFailures = [...error.undoFailures, endError];
      return new PublishError(code, message, { step, retryable, cause: error, undoFailures });
    }
  }

  #retry<T>(options: CallOptions, attempt: (n: number) => Promise<T>): Promise<T> {
    return withRetries(this.#policy, { signal: options.signal, step: 'registry' }, attempt);
  }
}

/** Whether the object at `key` has exactly these bytes; one that is larger is not loaded. */
async function holds(
  store: ObjectStore,
  { key, body }: { key: string; body: Uint8Array },
  { signal }: CallOptions,
): Promise<boolean> {
  try {
    const there = await store.read(key, { signal, maxBytes: body.byteLength });
    return there !== undefined && Buffer.compare(there, body) === 0;
  } catch (error) {
    if (error instanceof PublishError && error.code === 'INTEGRITY') return false;
    throw error;
  }
}

async function collect<T>(items: AsyncIterable<T>): Promise<T[]> {
  const all: T[] = [];
  for await (const item of items) all.push(item);
  return all;
}
