// Writes the next catalog checkpoint from a walk over all images: what was read one by one, and what the last checkpoint still proved.
import { Readable } from 'node:stream';
import { pipeline } from 'node:stream/promises';
import { promisify } from 'node:util';
import { createGzip, gunzip, gzip } from 'node:zlib';
import type { CallOptions } from '../../store/object-info.ts';
import type { ObjectStore } from '../../store/object-store.ts';
import { findCheckpoints, nextCheckpoint } from './checkpoint-files.ts';
import {
  type CheckpointLine,
  formatLine,
  HEADER,
  parseLine,
  readLines,
} from './checkpoint-lines.ts';
import type { CheckpointReader } from './checkpoint-reader.ts';

/** From this number of single reads on (about a second) a checkpoint is written. */
const MIN_READS = 200;
/** Rewriting it for fewer would cost more than it spares; old ones add up to 20 times its size. */
const MIN_FRACTION = 1 / 20;
const BATCH_CHARACTERS = 1024 * 1024;
/** Most bytes of a packed checkpoint: some 500,000 records. */
const MAX_BYTES = 128 * 1024 * 1024;

/** Keeps, packed, the records that a walk had to read one by one. */
export class CheckpointWriter {
  readonly #packed: Buffer[] = [];
  #text = '';
  #count = 0;

  /** Lines in the order of their ids. */
  async add(lines: readonly CheckpointLine[]): Promise<void> {
    for (const line of lines) this.#text += `${formatLine(line)}\n`;
    this.#count += lines.length;
    if (this.#text.length < BATCH_CHARACTERS) return;
    this.#packed.push(await promisify(gzip)(this.#text, { level: 1 }));
    this.#text = '';
  }

  /** True if a walk over `total` images read so many of them one by one that it should not recur. */
  isDue(total: number): boolean {
    return this.#count > Math.max(MIN_READS, total * MIN_FRACTION);
  }

  /** True if there is anything that the last checkpoint does not have. */
  get hasLines(): boolean {
    return this.#count > 0;
  }

  /**
   * Creates the next checkpoint. Does nothing if another client was first.
   * @throws REGISTRY, PRECONDITION_LOST, INTERRUPTED
   */
  async write(store: ObjectStore, last: CheckpointReader, options: CallOptions): Promise<void> {
    const key = nextCheckpoint((await findCheckpoints(store, options)).at(-1)?.key);
    const body = key && (await pack(merge(oldLines(store, last, options), this.#lines())));
    if (!key || !body) return;
    await store.create(key, body, { ...options, contentType: 'application/gzip' });
  }

  async *#lines(): AsyncGenerator<string> {
    for (const packed of this.#packed) {
      const text = await promisify(gunzip)(packed);
      yield* linesOf(text.toString('utf8'));
    }
    yield* linesOf(this.#text);
  }
}

function linesOf(text: string): string[] {
  return text.split('\n').slice(0, -1);
}

/** The lines of the last checkpoint that the walk has proved, read again. */
async function* oldLines(
  store: ObjectStore,
  { key, used }: CheckpointReader,
  options: CallOptions,
): AsyncGenerator<string> {
  const packed =
    key === undefined || used.length === 0 ? undefined : await store.openRead(key, options);
  if (packed === undefined) return;
  let number = 0;
  let next = 0;
  for await (const lines of readLines(packed))
    for (const line of lines) {
      if (number === used[next]) {
        yield line;
        next += 1;
        // What follows may be damaged.
        if (next === used.length) return;
      }
      number += 1;
    }
}

/** Joins two streams of lines in the order of their ids; both have it. */
async function* merge(
  left: AsyncGenerator<string>,
  right: AsyncGenerator<string>,
): AsyncGenerator<string> {
  let [a, b] = [await left.next(), await right.next()];
  while (!a.done || !b.done) {
    const isLeft = b.done || (!a.done && parseLine(a.value).id <= parseLine(b.value).id);
    yield String((isLeft ? a : b).value);
    if (isLeft) a = await left.next();
    else b = await right.next();
  }
}

/** Returns the packed file; `undefined` if it would be too large. */
async function pack(lines: AsyncGenerator<string>): Promise<Buffer | undefined> {
  const chunks: Buffer[] = [];
  let size = 0;
  await pipeline(Readable.from(batches(lines)), createGzip(), async (packed) => {
    for await (const chunk of packed as AsyncIterable<Buffer>) {
      size += chunk.byteLength;
      if (size <= MAX_BYTES) chunks.push(chunk);
    }
  });
  return size > MAX_BYTES ? undefined : Buffer.concat(chunks);
}

async function* batches(lines: AsyncGenerator<string>): AsyncGenerator<string> {
  let batch = `${HEADER}\n`;
  for await (const line of lines) {
    batch += `${line}\n`;
    if (batch.length < BATCH_CHARACTERS) continue;
    yield batch;
    batch = '';
  }
  yield batch;
}
