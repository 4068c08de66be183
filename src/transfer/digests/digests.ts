// Digests of bytes in memory, one thread for each algorithm, while other code reads and sends them.
import { Worker } from 'node:worker_threads';
import { endWorker } from '../../core/end-worker.ts';
import { messageOf, PublishError } from '../../core/errors.ts';
import { programUrl } from '../../core/package-files.ts';
import type { DigestAnswer, DigestRequest } from '../digest-worker.ts';

export const DIGEST_ALGORITHMS = ['sha256', 'sha512', 'md5'] as const;
export type DigestAlgorithm = (typeof DIGEST_ALGORITHMS)[number];

/** Digests in hex; sha256 is always there. */
export type Digests = { sha256: string } & Partial<Record<DigestAlgorithm, string>>;

/**
 * Returns sha256 and the requested algorithms, each once.
 * @throws USAGE on an algorithm that is not one of DIGEST_ALGORITHMS.
 */
export function digestAlgorithms(requested: readonly string[] = []): DigestAlgorithm[] {
  const bad = requested.find((name) => !(DIGEST_ALGORITHMS as readonly string[]).includes(name));
  if (bad !== undefined) {
    const message = `${JSON.stringify(bad)} is no supported digest`;
    const hint = `use ${DIGEST_ALGORITHMS.join(', ')}`;
    throw new PublishError('USAGE', message, { step: 'upload', hint });
  }
  return [...new Set(['sha256', ...(requested as DigestAlgorithm[])] as const)];
}

/** Digests of the same bytes side by side. */
export class DigestSet {
  readonly #digesters: Map<DigestAlgorithm, Digester>;

  constructor(algorithms: readonly DigestAlgorithm[]) {
    this.#digesters = new Map(algorithms.map((name) => [name, new Digester(name)]));
  }

  /** Adds bytes of shared memory, in the order of the calls. They are to stay until it resolves. */
  async update(bytes: Uint8Array): Promise<void> {
    await Promise.all([...this.#digesters.values()].map((each) => each.update(bytes)));
  }

  async digests(): Promise<Digests> {
    const found = [...this.#digesters].map(async ([name, each]) => [name, await each.digest()]);
    const { sha256, ...others } = Object.fromEntries(await Promise.all(found));
    if (sha256 !== undefined) return { sha256, ...others };
    throw new PublishError('INTERNAL', 'the digests lack sha256', { step: 'upload' });
  }

  async close(): Promise<void> {
    await Promise.all([...this.#digesters.values()].map((each) => each.close()));
  }
}

interface Waiting {
  resolve(hex: string): void;
  reject(error: PublishError): void;
}

type WithoutId<T> = T extends unknown ? Omit<T, 'id'> : never;

/** A thread that computes one algorithm, several digests at once; requests are served in their order. */
export class Digester {
  readonly #worker: Worker;
  readonly #waiting = new Map<number, Waiting>();
  #nextId = 1;
  #failure: PublishError | undefined;

  constructor(algorithm: DigestAlgorithm) {
    // The same options as for all threads: see write-image.ts.
    this.#worker = new Worker(programUrl('transfer/digest-worker.js'), {
      workerData: { algorithm },
      env: {},
      execArgv: [],
    });
    this.#worker.on('message', ({ id, hex }: DigestAnswer) => this.#resolveDigest(id, hex));
    this.#worker.on('error', (error) => this.#fail(messageOf(error)));
    this.#worker.on('exit', () => this.#fail('its thread ended'));
    this.#worker.unref();
  }

  /**
   * Adds bytes to one of its digests. They are in memory that threads share, or are copied, and must
   * not change until it resolves.
   */
  async update(bytes: Uint8Array, of = 0): Promise<void> {
    await this.#ask({ kind: 'update', of, bytes });
  }

  /** Returns the digest in hex, and resets it. */
  digest(of = 0): Promise<string> {
    return this.#ask({ kind: 'digest', of });
  }

  /** Ends what is under way; its promises are rejected. */
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

  #resolveDigest(id: number, hex: string): void {
    const waiting = this.#waiting.get(id);
    this.#waiting.delete(id);
    if (this.#waiting.size === 0) this.#worker.unref();
    waiting?.resolve(hex);
  }

  #fail(reason: string): void {
    const message = `hashing the image failed: ${reason}`;
    this.#failure ??= new PublishError('UPLOAD', message, { step: 'upload' });
    for (const waiting of this.#waiting.values()) waiting.reject(this.#failure);
    this.#waiting.clear();
  }
}
