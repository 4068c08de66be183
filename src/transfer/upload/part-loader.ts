// Parts of an image on their way: each read once into memory, hashed, checked and sent from there.
import { PublishError } from '../../core/errors.ts';
import { ignoreRejection } from '../../core/ignore-rejection.ts';
import { crc32cHex, crc32cOf } from '../../host/io/crc32c.ts';
import type { RangeReader } from '../../host/io/image-source.ts';
import { Digester, type DigestSet } from '../digests/digests.ts';
import { readWhole, stepsOf, walkRange } from '../digests/walk-range.ts';
import { givePieces, takePieces } from './part-memory.ts';
import type { PlannedPart } from './part-plan.ts';

/** Bytes of one read of a part that is larger than its memory, and how many reads are made ahead. */
const STEP_BYTES = 4 * 1024 * 1024;
const STEPS = 4;
/** Bytes that are passed to the connection at a time; each is one step of the progress. */
const CHUNK_BYTES = 2 * 1024 * 1024;

export type Chunks = Iterable<Uint8Array> | AsyncIterable<Uint8Array>;

/** One part, as it was read. Its memory is the loader's again after `release`. */
export interface LoadedPart {
  /** Yields the part from its start on each call. */
  chunks(): Chunks;
  /** Eight hex digits. */
  crc32c(): string;
  md5(): Promise<string>;
  /** Resolves when the digests of the whole image include this part. */
  hashed: Promise<void>;
  /** Its memory may still be read after `release`, so no other part gets it. */
  abandon(): void;
  release(): void;
}

export class PartLoader {
  readonly #reader: RangeReader;
  readonly #digests: DigestSet | undefined;
  readonly #free: Uint8Array[];
  #md5: Digester | undefined;
  #hashed: Promise<void> = Promise.resolve();

  /**
   * `maxConcurrent`: how many parts are loaded at most at a time; `digests` include them in the order
   * in which they are loaded.
   */
  constructor(reader: RangeReader, maxConcurrent: number, digests?: DigestSet) {
    this.#reader = reader;
    this.#digests = digests;
    this.#free = takePieces(maxConcurrent);
  }

  /** @throws UPLOAD if the source ends within the part, and what reading it throws. */
  async load(part: PlannedPart): Promise<LoadedPart> {
    const memory = this.#free.pop();
    if (memory === undefined)
      throw new PublishError('INTERNAL', 'more parts are loaded than memory was reserved for', {
        step: 'upload',
      });
    // If that fails the memory is not reused: a read that hangs may still write to it.
    const isWhole = part.end - part.start <= memory.byteLength;
    return isWhole ? this.#loadWhole(part, memory) : this.#loadPieces(part, memory);
  }

  /** The digests are to be closed before it: the memory is others' then. */
  async close(): Promise<void> {
    await Promise.all([this.#reader.close(), this.#md5?.close()]);
    givePieces(this.#free.splice(0));
  }

  async #loadWhole({ number, start, end }: PlannedPart, memory: Uint8Array): Promise<LoadedPart> {
    const reading = readWhole(this.#reader, memory, start, end);
    const hashed = this.#inTurn(async () => this.#digests?.update(await reading));
    const bytes = await reading;
    return {
      chunks: () => chunksOf(bytes),
      crc32c: () => crc32cHex(crc32cOf(bytes)),
      md5: () => this.#md5Of(number, (use) => use(bytes)),
      hashed,
      ...this.#lent(memory),
    };
  }

  async #loadPieces(part: PlannedPart, memory: Uint8Array): Promise<LoadedPart> {
    const steps = stepsOf(memory, STEP_BYTES, STEPS);
    const walk = (use: (bytes: Uint8Array) => Promise<void>) =>
      walkRange(this.#reader, steps, part, use);
    let sum = 0;
    const hashed = this.#inTurn(() =>
      walk(async (bytes) => {
        sum = crc32cOf(bytes, sum);
        await this.#digests?.update(bytes);
      }),
    );
    await hashed;
    // One at a time: a try that was given up may still be reading.
    let reading: Promise<unknown> = hashed;
    const readNext = (start: number, end: number) => {
      const next = reading
        .catch(() => undefined)
        .then(() => readWhole(this.#reader, memory.subarray(0, STEP_BYTES), start, end));
      reading = ignoreRejection(next);
      // A copy: a connection may read the bytes that it was given until they are sent.
      return next.then((bytes) => bytes.slice());
    };
    return {
      chunks: () => readChunks(part, readNext),
      crc32c: () => crc32cHex(sum),
      md5: () => this.#md5Of(part.number, walk),
      hashed,
      ...this.#lent(memory),
    };
  }

  #lent(memory: Uint8Array): Pick<LoadedPart, 'abandon' | 'release'> {
    let isAbandoned = false;
    return {
      abandon: () => {
        isAbandoned = true;
      },
      // The next part of this upload needs memory, even if the old is never free again.
      release: () => this.#free.push(...(isAbandoned ? takePieces(1) : [memory])),
    };
  }

  /** Runs `work` after all earlier calls. */
  #inTurn(work: () => Promise<void> | undefined): Promise<void> {
    this.#hashed = ignoreRejection(this.#hashed.then(work));
    return this.#hashed;
  }

  /** In a thread of its own, since md5 is slow and this thread sends. */
  async #md5Of(
    number: number,
    walk: (use: (bytes: Uint8Array) => Promise<void>) => Promise<void>,
  ): Promise<string> {
    this.#md5 ??= new Digester('md5');
    const md5 = this.#md5;
    await walk((bytes) => md5.update(bytes, number));
    return md5.digest(number);
  }
}

async function* readChunks(
  { start, end }: PlannedPart,
  read: (start: number, end: number) => Promise<Uint8Array>,
): AsyncGenerator<Uint8Array> {
  for (let at = start; at < end; at += STEP_BYTES)
    yield* chunksOf(await read(at, Math.min(at + STEP_BYTES, end)));
}

function* chunksOf(bytes: Uint8Array): Generator<Uint8Array> {
  for (let at = 0; at < bytes.byteLength; at += CHUNK_BYTES)
    yield bytes.subarray(at, at + CHUNK_BYTES);
}
