// The digests of a whole image, walked through step by step: with an upload, or by themselves.
import { PublishError } from '../errors.ts';
import { throwIfInterrupted } from '../registry/deadline.ts';
import { type DigestAlgorithm, type Digester, openDigester } from './digests.ts';
import type { ImageSource } from './source.ts';

/** Digests in hex; sha256 is always there. */
export type Digests = { sha256: string } & Partial<Record<DigestAlgorithm, string>>;

const STEP_BYTES = 16 * 1024 * 1024;

/** The digests of a source that does not travel. `onProgress` is told the bytes hashed so far. */
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

/** One digester for each algorithm, all going through the same ranges side by side. */
export class DigestWalk {
  readonly #digesters: Map<DigestAlgorithm, Digester>;

  constructor(source: ImageSource, algorithms: readonly DigestAlgorithm[]) {
    this.#digesters = new Map(algorithms.map((name) => [name, openDigester(source, name)]));
  }

  /** Resolves when every digest has gone through the range. */
  async step(start: number, end: number): Promise<void> {
    await Promise.all([...this.#digesters.values()].map((digester) => digester.update(start, end)));
  }

  async finish(): Promise<Digests> {
    const names = [...this.#digesters.keys()];
    const values = await Promise.all([...this.#digesters.values()].map((each) => each.digest()));
    const { sha256, ...others } = Object.fromEntries(names.map((name, at) => [name, values[at]]));
    if (sha256 !== undefined) return { sha256, ...others };
    throw new PublishError('INTERNAL', 'sha256 was not among the digests.', { step: 'upload' });
  }

  async close(): Promise<void> {
    await Promise.all([...this.#digesters.values()].map((digester) => digester.close()));
  }
}
