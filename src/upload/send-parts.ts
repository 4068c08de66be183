// The parts of one upload on their way: so many at once, each tried again by itself, each checked.
import { PassThrough, pipeline, type Readable, Transform } from 'node:stream';
import { messageOf, PublishError } from '../errors.ts';
import { eachBounded } from '../registry/bounded.ts';
import { unlessAborted, withDeadline } from '../registry/deadline.ts';
import { isMd5 } from '../registry/etag.ts';
import type { PartInfo, PartUpload } from '../registry/object-store.ts';
import { withRetries } from '../registry/retry.ts';
import { type Digester, openDigester } from './digests.ts';
import { type Digests, DigestWalk } from './hash-image.ts';
import { type PartPlan, type PlannedPart, partAt, partsOf } from './part-plan.ts';
import type { UploadImageOptions } from './upload-image.ts';

type SendOptions = UploadImageOptions & { withMd5: boolean };

/** How far the whole digests may fall behind the parts: further, and the page cache goes cold. */
const MAX_LAG_PARTS = 16;

export class PartSender {
  readonly #upload: PartUpload;
  readonly #plan: PartPlan;
  readonly #options: SendOptions;
  readonly #walk: DigestWalk;
  readonly #md5: Digester | undefined;
  /** Stops the parts under way when one has failed for good. */
  readonly #stop = new AbortController();
  readonly #steps: Promise<void>[] = [];
  readonly #md5s: Promise<string>[] = [];
  #sentBytes = 0;

  constructor(upload: PartUpload, plan: PartPlan, options: SendOptions) {
    this.#upload = upload;
    this.#plan = plan;
    this.#options = options;
    this.#walk = new DigestWalk(options.source, options.algorithms);
    this.#md5 = options.withMd5 ? openDigester(options.source, 'md5') : undefined;
  }

  /** Sends every part; they start in order. @throws the first failure, when none is under way. */
  async sendAll(): Promise<PartInfo[]> {
    const { signal, policy } = this.#options;
    const onAbort = () => this.#stop.abort(signal?.reason);
    signal?.addEventListener('abort', onAbort, { once: true });
    if (signal?.aborted) onAbort();
    const parts: PartInfo[] = [];
    try {
      await eachBounded(partsOf(this.#plan), policy.concurrency, async (part) => {
        parts.push(await this.#sendOrStop(part));
      });
    } finally {
      signal?.removeEventListener('abort', onAbort);
    }
    return parts.sort((a, b) => a.number - b.number);
  }

  /** The digests of the whole, when all parts were sent. */
  async digests(): Promise<Digests> {
    const digests = Promise.all(this.#steps).then(() => this.#walk.finish());
    return unlessAborted(digests, this.#options.signal, 'upload');
  }

  async close(): Promise<void> {
    await Promise.all([this.#walk.close(), this.#md5?.close()]);
  }

  async #sendOrStop(part: PlannedPart): Promise<PartInfo> {
    try {
      this.#hashAhead(part.number);
      // A thread that reads cannot be interrupted, but nobody has to wait for it.
      const hashed = Promise.all([
        this.#md5s[part.number - 1],
        this.#steps[part.number - 1 - MAX_LAG_PARTS],
      ]);
      const [md5] = await unlessAborted(hashed, this.#stop.signal, 'upload');
      return await this.#sendWithRetries(part, md5);
    } catch (error) {
      this.#stop.abort(error);
      throw error;
    }
  }

  /** Keeps the threads busy with the parts that come next, and with no more than those. */
  #hashAhead(number: number): void {
    const last = Math.min(number + this.#options.policy.concurrency, this.#plan.count);
    while (this.#steps.length < last) {
      const { start, end } = partAt(this.#plan, this.#steps.length + 1);
      this.#steps.push(quiet(this.#walk.step(start, end)));
      if (this.#md5 !== undefined) this.#md5s.push(quiet(this.#md5.range(start, end)));
    }
  }

  async #sendWithRetries(part: PlannedPart, md5: string | undefined): Promise<PartInfo> {
    const { policy } = this.#options;
    const { signal } = this.#stop;
    const length = part.end - part.start;
    const ms = policy.partMs * Math.max(1, length / (policy.partSizeMib * 1024 * 1024));
    const what = `The registry, sent part ${part.number} of ${this.#upload.key},`;
    return withRetries(policy, { signal, step: 'upload' }, () =>
      withDeadline({ what, ms, step: 'upload', signal }, (attemptSignal) =>
        this.#attempt(part, md5, attemptSignal),
      ),
    );
  }

  async #attempt(
    part: PlannedPart,
    md5: string | undefined,
    signal: AbortSignal,
  ): Promise<PartInfo> {
    const { number, start, end } = part;
    let counted = 0;
    const count = (bytes: number) => {
      counted += bytes;
      this.#progress(bytes);
    };
    const open = () => countBytes(this.#options.source.open(start, end), count, end - start);
    try {
      const info = await this.#upload.putPart(
        number,
        { start, length: end - start, md5, open },
        { signal },
      );
      checkPart(info, md5);
      return info;
    } catch (error) {
      this.#progress(-counted);
      throw error;
    }
  }

  #progress(bytes: number): void {
    this.#sentBytes += bytes;
    this.#options.onProgress?.(this.#sentBytes);
  }
}

function checkPart({ number, etag, opaqueEtag }: PartInfo, md5: string | undefined): void {
  if (md5 === undefined || opaqueEtag || !isMd5(etag) || etag.toLowerCase() === md5) return;
  const message = `The store received other bytes for part ${number} than were sent (ETag ${etag}).`;
  throw new PublishError('INTEGRITY', message, { step: 'upload', retryable: true });
}

/**
 * The stream, telling how many bytes went through. One that ends early fails: whoever waits for
 * the rest (a server told the length) would wait until its deadline.
 */
function countBytes(stream: Readable, onBytes: (bytes: number) => void, length: number): Readable {
  if (length === 0) {
    stream.destroy();
    return new PassThrough().end();
  }
  let seen = 0;
  const counter = new Transform({
    // One chunk at a time: what is read ahead is memory for each part under way.
    highWaterMark: 1,
    transform(chunk: Uint8Array, _encoding, done) {
      seen += chunk.byteLength;
      done(told(onBytes, chunk.byteLength), chunk);
    },
    flush(done) {
      const message = `The image ended ${length - seen} bytes before the end of a part.`;
      done(seen === length ? null : new PublishError('UPLOAD', message, { step: 'upload' }));
    },
  });
  // The error reaches the reader by `counter`, which `pipeline` destroys with it.
  return pipeline(stream, counter, () => undefined);
}

/** A caller's callback that throws must fail the part; thrown in a stream it ends the process. */
function told(onBytes: (bytes: number) => void, bytes: number): Error | null {
  try {
    onBytes(bytes);
    return null;
  } catch (error) {
    const message = `The progress callback failed: ${messageOf(error)}.`;
    return new PublishError('INTERNAL', message, { step: 'upload', cause: error });
  }
}

/** Its failure is raised where it is awaited; until then it must not count as unhandled. */
function quiet<T>(promise: Promise<T>): Promise<T> {
  promise.catch(() => undefined);
  return promise;
}
