// Parts of an image on their way: each read once into memory, hashed, checked and sent from there.
import { PublishError } from '../errors.ts';
import { crc32cHex, crc32cOf } from '../files/crc32c.ts';
import { BLOCK, sharedPieces } from '../files/direct-file.ts';
import type { RangeReader } from '../files/image-source.ts';
import { quiet } from '../quiet.ts';
import { Digester, type DigestSet } from './digests.ts';
import type { PlannedPart } from './part-plan.ts';
import { readWhole, walkRange } from './walk-range.ts';

/** Larger parts (of images beyond 300 GiB) are read piece by piece, and again to be sent. */
const MAX_LOADED_BYTES = 32 * 1024 * 1024;
const PIECE_BYTES = 4 * 1024 * 1024;
const PIECES = 4;
/** What is handed to the connection at a time: each costs some work, and is a step of the progress. */
const CHUNK_BYTES = 2 * 1024 * 1024;

export type Chunks = Iterable<Uint8Array> | AsyncIterable<Uint8Array>;

/** Pieces, each for one part. */
export type PartMemory = readonly Uint8Array[];

/** One part, as it was read. Its memory is the loader's again after `release`. */
export interface LoadedPart {
  /** From anew on each call. */
  chunks(): Chunks;
  /** Eight hex digits. */
  crc32c(): string;
  md5(): Promise<string>;
  /** Resolves when the digests of the whole have gone through it. */
  hashed: Promise<void>;
  release(): void;
}

export interface LoaderOptions {
  partSize: number;
  /** How many parts are loaded at most at a time. */
  atOnce: number;
  /** Of a loader that is closed, for as many parts as it fits. */
  memory?: PartMemory | undefined;
  /** Go through the parts, in the order in which these are loaded. */
  digests?: DigestSet;
}

export class PartLoader {
  readonly #reader: RangeReader;
  readonly #digests: DigestSet | undefined;
  readonly #free: Uint8Array[];
  #md5: Digester | undefined;
  #hashed: Promise<void> = Promise.resolve();

  constructor(reader: RangeReader, { partSize, atOnce, memory = [], digests }: LoaderOptions) {
    this.#reader = reader;
    this.#digests = digests;
    const loaded = partSize > MAX_LOADED_BYTES ? PIECE_BYTES * PIECES : partSize;
    const bytes = Math.ceil(loaded / BLOCK) * BLOCK;
    const fitting = memory.filter(({ byteLength }) => byteLength >= bytes).slice(0, atOnce);
    const missing = atOnce - fitting.length;
    this.#free = [...fitting, ...(missing > 0 ? sharedPieces(bytes, missing) : [])];
  }

  /** @throws UPLOAD where the source ends within the part, and what reading it throws. */
  async load(part: PlannedPart): Promise<LoadedPart> {
    const memory = this.#free.pop();
    if (memory === undefined)
      throw new PublishError('INTERNAL', 'More parts are loaded than there is memory for.', {
        step: 'upload',
      });
    try {
      const isWhole = part.end - part.start <= memory.byteLength;
      return await (isWhole ? this.#loadWhole(part, memory) : this.#loadPieces(part, memory));
    } catch (error) {
      this.#free.push(memory);
      throw error;
    }
  }

  /** Resolves to the memory of the parts that were released. */
  async close(): Promise<PartMemory> {
    await Promise.all([this.#reader.close(), this.#md5?.close()]);
    return this.#free.splice(0);
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
      release: () => this.#free.push(memory),
    };
  }

  async #loadPieces(part: PlannedPart, memory: Uint8Array): Promise<LoadedPart> {
    const pieces = Array.from({ length: PIECES }, (_, n) =>
      memory.subarray(n * PIECE_BYTES, (n + 1) * PIECE_BYTES),
    );
    const walk = (use: (bytes: Uint8Array) => Promise<void>) =>
      walkRange(this.#reader, pieces, part, use);
    let sum = 0;
    const hashed = this.#inTurn(() =>
      walk(async (bytes) => {
        sum = crc32cOf(bytes, sum);
        await this.#digests?.update(bytes);
      }),
    );
    await hashed;
    return {
      chunks: () => this.#readChunks(part, memory),
      crc32c: () => crc32cHex(sum),
      md5: () => this.#md5Of(part.number, walk),
      hashed,
      release: () => this.#free.push(memory),
    };
  }

  /** After what came before it. */
  #inTurn(work: () => Promise<void> | undefined): Promise<void> {
    this.#hashed = quiet(this.#hashed.then(work));
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

  /** NOTE: copies, as what was handed to a connection is its own until it has gone out. */
  async *#readChunks({ start, end }: PlannedPart, memory: Uint8Array): AsyncGenerator<Uint8Array> {
    for (let at = start; at < end; at += PIECE_BYTES) {
      const piece = memory.subarray(0, PIECE_BYTES);
      const bytes = await readWhole(this.#reader, piece, at, Math.min(at + PIECE_BYTES, end));
      yield* chunksOf(Uint8Array.from(bytes));
    }
  }
}

function* chunksOf(bytes: Uint8Array): Generator<Uint8Array> {
  for (let at = 0; at < bytes.byteLength; at += CHUNK_BYTES)
    yield bytes.subarray(at, at + CHUNK_BYTES);
}
