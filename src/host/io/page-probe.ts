// Tells whether a file lies in the page cache, by the time that single pages take.
import { readSync } from 'node:fs';
import { type FileHandle, open } from 'node:fs/promises';
import { BLOCK } from './direct-file.ts';

/** Far more than a page takes that lies in memory, and less than most disks take for one. */
const CACHED_PAGE_MS = 0.05;

/**
 * NOTE: only the time tells, so that Node's thread pool, where a read waits behind large reads and
 * writes, is not asked. A page that was not there is there afterwards.
 */
export class PageProbe {
  readonly #file: FileHandle;
  readonly #page = Buffer.alloc(BLOCK);

  private constructor(file: FileHandle) {
    this.#file = file;
  }

  static async open(path: string): Promise<PageProbe> {
    const file = await open(path, 'r');
    try {
      // Storage that hangs does so here, and does not hold the thread.
      await file.read(Buffer.alloc(BLOCK), 0, BLOCK, 0);
    } catch (error) {
      await file.close();
      throw error;
    }
    return new PageProbe(file);
  }

  /** Whether most of `length` bytes from `at` are there, as far as one page in each `step` tells. */
  isCached(at: number, length: number, step: number): boolean {
    let balance = 0;
    for (let from = 0; from < length; from += step) {
      // At random: the next look would find the pages that this one leaves.
      const place = at + from + Math.floor(Math.random() * Math.min(step, length - from));
      balance += this.#takesLong(place - (place % BLOCK)) ? -1 : 1;
    }
    return balance > 0;
  }

  close(): Promise<void> {
    return this.#file.close();
  }

  #takesLong(at: number): boolean {
    const begun = performance.now();
    readSync(this.#file.fd, this.#page, 0, BLOCK, at);
    return performance.now() - begun > CACHED_PAGE_MS;
  }
}
