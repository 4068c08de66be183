// The digests of an image that does not travel, walked through range by range.
import { sharedPieces } from '../files/direct-file.ts';
import type { ImageSource, RangeReader } from '../files/image-source.ts';
import { throwIfInterrupted } from '../registry/deadline.ts';
import { type DigestAlgorithm, DigestSet, type Digests } from './digests.ts';
import { walkRange } from './walk-range.ts';

const STEP_BYTES = 16 * 1024 * 1024;
/** One piece is hashed while the next ones are read. */
const PIECE_BYTES = 2 * 1024 * 1024;
const PIECES = 3;

/** The digests of a source. `onProgress` is told the bytes hashed so far. */
export async function hashImage(
  source: ImageSource,
  algorithms: readonly DigestAlgorithm[],
  options: { signal?: AbortSignal | undefined; onProgress?: ((bytes: number) => void) | undefined },
): Promise<Digests> {
  const walk = new DigestWalk(source, algorithms);
  try {
    for (let at = 0; at < source.size; ) {
      throwIfInterrupted(options.signal, 'upload');
      const end = Math.min(at + STEP_BYTES, source.size);
      await walk.step(at, end);
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
  readonly #memory = sharedPieces(PIECE_BYTES, PIECES);
  #last: Promise<unknown> = Promise.resolve();

  constructor(source: ImageSource, algorithms: readonly DigestAlgorithm[]) {
    this.#reader = source.reader();
    this.#digests = new DigestSet(algorithms);
  }

  /** Resolves when the range was hashed, which is to follow the one before. */
  step(start: number, end: number): Promise<void> {
    const work = () =>
      walkRange(this.#reader, this.#memory, { start, end }, (bytes) => this.#digests.update(bytes));
    const step = this.#last.then(work);
    this.#last = step.catch(() => undefined);
    return step;
  }

  finish(): Promise<Digests> {
    return this.#digests.digests();
  }

  async close(): Promise<void> {
    await Promise.all([this.#reader.close(), this.#digests.close()]);
  }
}
