// Parts of an image on their way: each read once into memory, checked and sent from there.
import { createHash } from 'node:crypto';
import type { Readable } from 'node:stream';
import { PublishError } from '../errors.ts';
import { crc32cHex, crc32cOf } from '../files/crc32c.ts';
import { alignedMemory, BLOCK, DirectFile } from '../files/direct-file.ts';
import { type Digester, openDigester } from './digests.ts';
import type { PlannedPart } from './part-plan.ts';
import type { ImageSource } from './source.ts';

/** Larger parts (of images beyond 300 GiB) are streamed, and read once more for their check. */
const MAX_LOADED_BYTES = 32 * 1024 * 1024;
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
  crc32c(): Promise<string>;
  md5(): Promise<string>;
  release(): void;
}

export class PartLoader {
  readonly #source: ImageSource;
  readonly #free: Uint8Array[];
  #file: Promise<DirectFile> | undefined;
  #md5: Digester | undefined;

  /**
   * `atOnce`: how many parts of `partSize` bytes are loaded at most at a time; `memory`: of a loader
   * that is closed, for as many of them as it fits.
   */
  constructor(
    source: ImageSource,
    { partSize, atOnce, memory = [] }: { partSize: number; atOnce: number; memory?: PartMemory },
  ) {
    this.#source = source;
    const bytes = Math.ceil(partSize / BLOCK) * BLOCK;
    const fitting = memory.filter(({ byteLength }) => byteLength >= bytes).slice(0, atOnce);
    const missing = atOnce - fitting.length;
    this.#free =
      partSize > MAX_LOADED_BYTES
        ? []
        : [...fitting, ...(missing > 0 ? alignedMemory(bytes, missing) : [])];
  }

  /** @throws UPLOAD where the source ends within the part, and what reading it throws. */
  async load(part: PlannedPart): Promise<LoadedPart> {
    const memory = this.#free.pop();
    if (memory === undefined) return this.#streamed(part);
    try {
      const bytes = await this.#read(part, memory);
      return this.#loaded(part, bytes, () => this.#free.push(memory));
    } catch (error) {
      this.#free.push(memory);
      throw error;
    }
  }

  /** Resolves to the memory of the parts that were released. */
  async close(): Promise<PartMemory> {
    // NOTE: a read that hangs (a file server that is gone) holds its file; nobody waits for that.
    this.#file?.then((file) => file.close()).catch(() => undefined);
    await this.#md5?.close();
    return this.#free.splice(0);
  }

  #loaded(part: PlannedPart, bytes: Uint8Array, release: () => void): LoadedPart {
    return {
      chunks: () => chunksOf(bytes),
      crc32c: async () => crc32cHex(crc32cOf(bytes)),
      md5: async () => this.#md5Range(part) ?? createHash('md5').update(bytes).digest('hex'),
      release,
    };
  }

  #streamed(part: PlannedPart): LoadedPart {
    const open = () => this.#source.open(part.start, part.end);
    return {
      chunks: open,
      crc32c: async () => {
        let sum = 0;
        await each(open(), (chunk) => {
          sum = crc32cOf(chunk, sum);
        });
        return crc32cHex(sum);
      },
      md5: async () => {
        const hash = createHash('md5');
        const inThread = this.#md5Range(part);
        if (inThread) return inThread;
        await each(open(), (chunk) => hash.update(chunk));
        return hash.digest('hex');
      },
      release: () => undefined,
    };
  }

  /** Of a file: in a thread of its own, since md5 is slow and this thread sends. */
  #md5Range({ start, end }: PlannedPart): Promise<string> | undefined {
    if (this.#source.path === undefined) return undefined;
    this.#md5 ??= openDigester(this.#source, 'md5');
    return this.#md5.range(start, end);
  }

  async #read(part: PlannedPart, memory: Uint8Array): Promise<Uint8Array> {
    const { start, end } = part;
    const { path, direct = false } = this.#source;
    if (path !== undefined) this.#file ??= DirectFile.open(path, { direct });
    const file = await this.#file;
    const length = file ? await file.read(memory, start, end) : await this.#collect(part, memory);
    if (length === end - start) return memory.subarray(0, length);
    const message = `The image ended ${end - start - length} bytes before the end of a part.`;
    throw new PublishError('UPLOAD', message, { step: 'upload' });
  }

  async #collect({ start, end }: PlannedPart, memory: Uint8Array): Promise<number> {
    if (start === end) return 0;
    let length = 0;
    await each(this.#source.open(start, end), (chunk) => {
      memory.set(chunk.subarray(0, memory.length - length), length);
      length += chunk.byteLength;
    });
    return length;
  }
}

function* chunksOf(bytes: Uint8Array): Generator<Uint8Array> {
  for (let at = 0; at < bytes.byteLength; at += CHUNK_BYTES)
    yield bytes.subarray(at, at + CHUNK_BYTES);
}

async function each(stream: Readable, use: (chunk: Uint8Array) => void): Promise<void> {
  for await (const chunk of stream as AsyncIterable<Uint8Array>) use(chunk);
}
