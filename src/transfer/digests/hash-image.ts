// The digests of an image that does not travel, walked through range by range.
import { throwIfInterrupted, unlessAborted } from '../../core/deadline.ts';
import type { ImageSource, RangeReader } from '../../host/io/image-source.ts';
import { givePieces, takePieces } from '../upload/part-memory.ts';
import { type DigestAlgorithm, DigestSet, type Digests } from './digests.ts';
import { stepsOf, walkRange } from './walk-range.ts';

const RANGE_BYTES = 16 * 1024 * 1024;
/** Bytes of one read; they are hashed while the next ones are read. */
const STEP_BYTES = 2 * 1024 * 1024;
const STEPS = 3;

/** Returns the digests of a source. `onProgress` gets the bytes hashed so far. */
export async function hashImage(
  source: ImageSource,
  algorithms: readonly DigestAlgorithm[],
  options: { signal?: AbortSignal | undefined; onProgress?: ((bytes: number) => void) | undefined },
): Promise<Digests> {
  const walk = new DigestWalk(source, algorithms);
  try {
    for (let at = 0; at < source.size; ) {
      throwIfInterrupted(options.signal, 'upload');
      const end = Math.min(at + RANGE_BYTES, source.size);
      await unlessAborted(walk.step(at, end), options.signal, 'upload');
      options.onProgress?.(end);
      at = end;
    }
    const digests = await walk.finish();
    await source.checkUnchanged?.();
    return digests;
  } finally {
    await walk.close();
  }
}

/** Reads a source, and hashes what it read. */
export class DigestWalk {
  readonly #reader: RangeReader;
  readonly #digests: DigestSet;
  readonly #memory = takePieces(1);
  #last: Promise<unknown> = Promise.resolve();
  #underWay = 0;

  constructor(source: ImageSource, algorithms: readonly DigestAlgorithm[]) {
    this.#reader = source.reader();
    this.#digests = new DigestSet(algorithms);
  }

  /** Resolves when the range was hashed, which is to follow the one before. */
  step(start: number, end: number): Promise<void> {
    this.#underWay += 1;
    const step = this.#last.then(() => this.#hash(start, end));
    this.#last = step.catch(() => undefined);
    return step;
  }

  finish(): Promise<Digests> {
    return this.#digests.digests();
  }

  async close(): Promise<void> {
    await Promise.all([this.#reader.close(), this.#digests.close()]);
    if (this.#underWay === 0) givePieces(this.#memory.splice(0));
  }

  async #hash(start: number, end: number): Promise<void> {
    const steps = this.#memory.flatMap((memory) => stepsOf(memory, STEP_BYTES, STEPS));
    try {
      const use = (bytes: Uint8Array) => this.#digests.update(bytes);
      await walkRange(this.#reader, steps, { start, end }, use);
    } finally {
      this.#underWay -= 1;
    }
  }
}
