// The ranges of an object on their way into a file: so many at once, hashed in order behind them.
import { setMaxListeners } from 'node:events';
import { eachBounded } from '../../core/bounded.ts';
import { interruption, throwIfInterrupted } from '../../core/deadline.ts';
import { PublishError } from '../../core/errors.ts';
import { descriptorPath } from '../../host/files/own-file.ts';
import { drainStream } from '../../store/drain-stream.ts';
import type { ObjectStore } from '../../store/object-store.ts';
import { type RetryPolicy, withRetries } from '../../store/retrying/retry.ts';
import { DigestWalk } from '../digests/hash-image.ts';
import { fileSource } from '../upload/file-source.ts';
import { type Partial, type PullSource, rangeAt } from './pull-partial.ts';
import type { Writer } from './pull-writer.ts';
import { openWriters, type Writers } from './pull-writers.ts';

export interface PullPolicy extends RetryPolicy {
  partSizeMib: number;
  concurrency: number;
}

interface FetchOptions {
  policy: PullPolicy;
  signal?: AbortSignal | undefined;
  onProgress?: ((bytes: number) => void) | undefined;
}

/** How far the digest may fall behind the ranges before their data leaves the page cache. */
const MAX_LAG_RANGES = 32;

/**
 * Fetches the missing ranges; each is retried from the byte at which it broke. Resolves to the sha256
 * of the file, as read back. @throws the first failure, when no range is under way any more.
 */
export async function fetchRanges(
  store: ObjectStore,
  source: PullSource,
  partial: Partial,
  options: FetchOptions,
): Promise<string> {
  const writers = await openWriters(partial.file, options.policy.concurrency);
  let digester: DigestWalk | undefined;
  try {
    // Opened by its descriptor: its name may mean another file by now.
    const file = await fileSource(descriptorPath(partial.file), { direct: writers.isDirect });
    digester = new DigestWalk(file, ['sha256']);
    return await new Fetch({ store, source, partial, digester, writers }, options).run();
  } finally {
    await digester?.close();
    await writers.close();
  }
}

interface FetchParts {
  store: ObjectStore;
  source: PullSource;
  partial: Partial;
  digester: DigestWalk;
  writers: Writers;
}

class Fetch {
  readonly #store: ObjectStore;
  readonly #source: PullSource;
  readonly #partial: Partial;
  readonly #options: FetchOptions;
  readonly #digester: DigestWalk;
  readonly #writers: Writers;
  readonly #count: number;
  /** Stops the ranges under way when one has failed for good. */
  readonly #stop = new AbortController();
  /** One entry for each range that the digest has reached, in order. */
  readonly #hashed: Promise<void>[] = [];
  #bytes: number;

  constructor({ store, source, partial, digester, writers }: FetchParts, options: FetchOptions) {
    this.#store = store;
    this.#source = source;
    this.#partial = partial;
    this.#options = options;
    this.#digester = digester;
    this.#writers = writers;
    this.#count = Math.ceil(source.size / partial.rangeBytes);
    this.#bytes = partial.resumedBytes;
    // Every range under way listens to it, and Node takes more than ten for a leak.
    setMaxListeners(0, this.#stop.signal);
  }

  async run(): Promise<string> {
    const { signal, policy } = this.#options;
    const onAbort = () => this.#stop.abort(signal?.reason);
    signal?.addEventListener('abort', onAbort, { once: true });
    try {
      throwIfInterrupted(signal, 'pull');
      this.#hashOn();
      this.#options.onProgress?.(this.#bytes);
      await eachBounded(this.#missing(), policy.concurrency, (range) => this.#fetchOrStop(range));
      for (const hashing of this.#hashed) {
        throwIfInterrupted(signal, 'pull');
        await hashing;
      }
      return (await this.#digester.finish()).sha256;
    } catch (error) {
      throw signal?.aborted ? interruption(signal, 'pull') : error;
    } finally {
      signal?.removeEventListener('abort', onAbort);
    }
  }

  *#missing(): Generator<number> {
    for (let range = 0; range < this.#count; range += 1) {
      if (!this.#partial.whole.has(range)) yield range;
    }
  }

  async #fetchOrStop(range: number): Promise<void> {
    try {
      await this.#hashed[Math.min(range - MAX_LAG_RANGES, this.#hashed.length - 1)];
      const { start, end } = rangeAt(this.#source, this.#partial.rangeBytes, range);
      const waiting = { signal: this.#stop.signal, step: 'pull' } as const;
      await this.#writers.use(start, (writer) =>
        withRetries(this.#options.policy, waiting, () => this.#fetch(writer, end)),
      );
      await this.#partial.markWhole(range);
      this.#hashOn();
    } catch (error) {
      this.#stop.abort(error);
      throw error;
    }
  }

  /** Fetches the missing bytes of the range in one request. */
  async #fetch(writer: Writer, end: number): Promise<void> {
    if (writer.at === end) return;
    const { key, etag } = this.#source;
    const { signal } = this.#stop;
    const condition = etag === null ? {} : { ifMatch: etag };
    const stream = await this.#store
      .openRead(key, { start: writer.at, end, ...condition, signal })
      .catch((error: unknown) => {
        throw asReplaced(error, key);
      });
    if (stream === undefined)
      throw damaged(`${key} was removed from ${this.#store.url} while it was read`);
    await drainStream(stream, (chunk) => {
      if (signal.aborted) throw interruption(signal, 'pull');
      if (writer.at + chunk.byteLength > end)
        throw damaged(`the store sent more of ${key} than was requested`);
      this.#bytes += chunk.byteLength;
      this.#options.onProgress?.(this.#bytes);
      return writer.take(chunk);
    });
    if (writer.at === end) return;
    const message = `${this.#store.url} sent less of ${key} than was requested`;
    throw new PublishError('REGISTRY', message, { step: 'pull', retryable: true });
  }

  /** Lets the digest go on over all ranges that now follow each other. */
  #hashOn(): void {
    while (this.#partial.whole.has(this.#hashed.length)) {
      const { start, end } = rangeAt(this.#source, this.#partial.rangeBytes, this.#hashed.length);
      const hashing = this.#digester.step(start, end);
      // The rejection is thrown by the `await`; until then it must not count as unhandled.
      hashing.catch(() => undefined);
      this.#hashed.push(hashing);
    }
  }
}

function asReplaced(error: unknown, key: string): unknown {
  const lost = error instanceof PublishError && error.code === 'PRECONDITION_LOST';
  return lost ? damaged(`${key} was replaced while it was read`) : error;
}

function damaged(what: string): PublishError {
  const message = `${what}; no file was written`;
  const hint = 'check the image: virt-publish verify IMAGE';
  return new PublishError('INTEGRITY', message, { step: 'pull', hint });
}
