// Digests of an image, computed beside its upload: one algorithm a thread, in the order of the parts.
import { createHash, type Hash } from 'node:crypto';
import { Worker } from 'node:worker_threads';
import { endWorker } from '../end-worker.ts';
import { messageOf, PublishError } from '../errors.ts';
import type { DigestAnswer, DigestRequest } from './digest-worker.ts';
import type { ImageSource } from './source.ts';

export const DIGEST_ALGORITHMS = ['sha256', 'sha512', 'md5'] as const;
export type DigestAlgorithm = (typeof DIGEST_ALGORITHMS)[number];

/** Ranges are half open. Requests are served in the order they were made. */
export interface Digester {
  /** Adds a range to the digest of the whole; ranges must follow each other. */
  update(start: number, end: number): Promise<void>;
  /** The digest of the whole so far, in hex; ends it. */
  digest(): Promise<string>;
  /** The digest of one range by itself, in hex. */
  range(start: number, end: number): Promise<string>;
  /** Ends what is under way; its promises are rejected. */
  close(): Promise<void>;
}

/**
 * What is asked for beside sha256, without doubles.
 * @throws USAGE on an algorithm that is not one of DIGEST_ALGORITHMS.
 */
export function digestAlgorithms(asked: readonly string[] = []): DigestAlgorithm[] {
  const bad = asked.find((name) => !(DIGEST_ALGORITHMS as readonly string[]).includes(name));
  if (bad !== undefined) {
    const message = `${JSON.stringify(bad)} is no digest; use ${DIGEST_ALGORITHMS.join(', ')}.`;
    throw new PublishError('USAGE', message, { step: 'upload' });
  }
  return [...new Set(['sha256', ...(asked as DigestAlgorithm[])] as const)];
}

/** A digester for the source: in a thread where it is a file, else on this one. */
export function openDigester(source: ImageSource, algorithm: DigestAlgorithm): Digester {
  return source.path === undefined
    ? new StreamDigester(source, algorithm)
    : new ThreadDigester({ path: source.path, direct: source.direct === true }, algorithm);
}

interface Waiting {
  resolve(hex: string): void;
  reject(error: PublishError): void;
}

type WithoutId<T> = T extends unknown ? Omit<T, 'id'> : never;

class ThreadDigester implements Digester {
  readonly #worker: Worker;
  readonly #waiting = new Map<number, Waiting>();
  #nextId = 1;
  #failure: PublishError | undefined;

  constructor(file: { path: string; direct: boolean }, algorithm: DigestAlgorithm) {
    // As all threads here: see write-image.ts.
    this.#worker = new Worker(new URL('../upload/digest-worker.js', import.meta.url), {
      workerData: { ...file, algorithm },
      env: {},
      execArgv: [],
    });
    this.#worker.on('message', (answer: DigestAnswer) => this.#settle(answer));
    this.#worker.on('error', (error) => this.#fail(messageOf(error)));
    this.#worker.on('exit', () => this.#fail('its thread has ended'));
    this.#worker.unref();
  }

  async update(start: number, end: number): Promise<void> {
    await this.#ask({ kind: 'update', start, end });
  }

  digest(): Promise<string> {
    return this.#ask({ kind: 'digest' });
  }

  range(start: number, end: number): Promise<string> {
    return this.#ask({ kind: 'range', start, end });
  }

  async close(): Promise<void> {
    await endWorker(this.#worker);
  }

  #ask(request: WithoutId<DigestRequest>): Promise<string> {
    if (this.#failure !== undefined) return Promise.reject(this.#failure);
    const id = this.#nextId;
    this.#nextId += 1;
    return new Promise((resolve, reject) => {
      this.#waiting.set(id, { resolve, reject });
      // Only what is waited for keeps the process alive.
      this.#worker.ref();
      this.#worker.postMessage({ ...request, id });
    });
  }

  #settle(answer: DigestAnswer): void {
    const waiting = this.#waiting.get(answer.id);
    this.#waiting.delete(answer.id);
    if (this.#waiting.size === 0) this.#worker.unref();
    if ('hex' in answer) waiting?.resolve(answer.hex);
    else waiting?.reject(digestError(answer.error));
  }

  #fail(reason: string): void {
    this.#failure ??= digestError(reason);
    for (const waiting of this.#waiting.values()) waiting.reject(this.#failure);
    this.#waiting.clear();
  }
}

/** For a source that is no file: reads its streams here, one after the other. */
class StreamDigester implements Digester {
  readonly #source: ImageSource;
  readonly #algorithm: DigestAlgorithm;
  readonly #whole: Hash;
  #last: Promise<unknown> = Promise.resolve();

  constructor(source: ImageSource, algorithm: DigestAlgorithm) {
    this.#source = source;
    this.#algorithm = algorithm;
    this.#whole = createHash(algorithm);
  }

  update(start: number, end: number): Promise<void> {
    return this.#queue(() => this.#feed(this.#whole, start, end));
  }

  digest(): Promise<string> {
    return this.#queue(async () => this.#whole.digest('hex'));
  }

  range(start: number, end: number): Promise<string> {
    return this.#queue(async () => {
      const hash = createHash(this.#algorithm);
      await this.#feed(hash, start, end);
      return hash.digest('hex');
    });
  }

  async close(): Promise<void> {
    await this.#last;
  }

  async #feed(hash: Hash, start: number, end: number): Promise<void> {
    if (start === end) return;
    let read = 0;
    for await (const chunk of this.#source.open(start, end) as AsyncIterable<Uint8Array>) {
      hash.update(chunk);
      read += chunk.byteLength;
    }
    if (read !== end - start) throw digestError(`the source ended at byte ${start + read}`);
  }

  #queue<T>(work: () => Promise<T>): Promise<T> {
    const result = this.#last.then(work);
    this.#last = result.catch(() => undefined);
    return result;
  }
}

function digestError(reason: string): PublishError {
  return new PublishError('UPLOAD', `The image could not be hashed: ${reason}.`, {
    step: 'upload',
  });
}
