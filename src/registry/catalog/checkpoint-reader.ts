// Reads a catalog checkpoint beside a listing of the bucket, and takes no record that the listing does not prove.
import { createHash } from 'node:crypto';
import { isMd5 } from '../../store/etag.ts';
import type { CallOptions } from '../../store/object-info.ts';
import type { ObjectStore } from '../../store/object-store.ts';
import { findCheckpoints } from './checkpoint-files.ts';
import { type CheckpointLine, parseLine, readLines } from './checkpoint-lines.ts';
import type { NewestVersion } from './walk-images.ts';

/**
 * Walks the newest checkpoint and a listing together, both in the order of their ids.
 *
 * NOTE: a bucket's ETag of a small object is the md5 of its bytes. A line counts only if its text
 * has the size and the md5 that LIST gives for the newest version, so it is that object: a damaged,
 * outdated, foreign or lying checkpoint costs requests and changes no result. If ETags are no md5
 * (SSE-KMS), no line counts.
 */
export class CheckpointReader {
  readonly #batches: AsyncGenerator<string[]> | undefined;
  /** The key it is read from; `undefined` if there is none that can be read. */
  readonly key: string | undefined;
  /** Numbers of the lines that `take` returned, from 0, ascending. */
  readonly used: number[] = [];
  #lines: string[] = [];
  #at = 0;
  #number = -1;
  #line: CheckpointLine | undefined;
  #isOver = false;

  private constructor(key?: string, batches?: AsyncGenerator<string[]>) {
    this.key = key;
    this.#batches = batches;
    this.#isOver = batches === undefined;
  }

  /** Opens the newest checkpoint. If that fails, the reader has no line. */
  static async open(store: ObjectStore, options: CallOptions): Promise<CheckpointReader> {
    try {
      const key = (await findCheckpoints(store, options)).at(-1)?.key;
      const packed = key === undefined ? undefined : await store.openRead(key, options);
      if (packed === undefined) return new CheckpointReader();
      return new CheckpointReader(key, readLines(packed));
    } catch {
      // The listing of the images fails too if this matters.
      return new CheckpointReader();
    }
  }

  /** Returns the text of this version's object, or `undefined`. Ids must ascend from call to call. */
  async take({ id, version, size, etag }: NewestVersion): Promise<string | undefined> {
    while (!this.#isOver && (this.#line === undefined || this.#line.id < id)) await this.#next();
    const line = this.#line;
    if (this.#isOver || line?.id !== id || line.version !== version) return undefined;
    if (!isObject(line.record, size, etag)) return undefined;
    this.used.push(this.#number);
    return line.record;
  }

  async close(): Promise<void> {
    this.#isOver = true;
    await this.#batches?.return(undefined).catch(() => undefined);
  }

  async #next(): Promise<void> {
    try {
      while (this.#at >= this.#lines.length) {
        const next = await this.#batches?.next();
        if (next === undefined || next.done) {
          this.#isOver = true;
          return;
        }
        this.#lines = next.value;
        this.#at = 0;
      }
      const text = this.#lines[this.#at] ?? '';
      this.#at += 1;
      this.#number += 1;
      this.#line = parseLine(text);
    } catch {
      // Damaged from here on: the rest of the records is read one by one.
      await this.close();
    }
  }
}

/** True if the text is the object that a listing gives with this size and ETag. */
export function isObject(text: string | Uint8Array, size: number, etag: string | null): boolean {
  if (!isMd5(etag) || Buffer.byteLength(text) !== size) return false;
  return createHash('md5').update(text).digest('hex') === etag.toLowerCase();
}
