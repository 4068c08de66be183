// A file that is read past the page cache if the file system supports that, else through it.
import { constants } from 'node:fs';
import { type FileHandle, open } from 'node:fs/promises';
import { hasCode } from '../../core/errors.ts';

/** @types/node does not declare it. */
declare const WebAssembly: {
  Memory: {
    new (size: { initial: number }): { readonly buffer: ArrayBuffer };
    new (size: {
      initial: number;
      maximum: number;
      shared: true;
    }): {
      readonly buffer: SharedArrayBuffer;
    };
  };
};

const WASM_PAGE = 64 * 1024;
/** Offsets and lengths of direct reads and writes are multiples of this, on every common file system. */
export const BLOCK = 4096;

/**
 * Returns `count` pieces of memory that direct reads may fill, `bytes` each (a multiple of 4096).
 * NOTE: a direct read needs memory that begins at a multiple of the device's block. The address of a
 * Node buffer cannot be chosen, but the memory of WebAssembly begins at a page.
 */
export function alignedMemory(bytes: number, count: number): Uint8Array[] {
  const buffer = pagesOf(bytes * count);
  return Array.from({ length: count }, (_, at) => new Uint8Array(buffer, at * bytes, bytes));
}

/** Returns `bytes` of such memory that several threads can share. */
export function alignedSharedMemory(bytes: number): SharedArrayBuffer {
  const initial = Math.ceil(bytes / WASM_PAGE);
  const shared = () => new WebAssembly.Memory({ initial, maximum: initial, shared: true }).buffer;
  return orOtherMemory(shared, () => new SharedArrayBuffer(bytes));
}

/** Like `alignedMemory`, in memory that several threads can share. */
export function sharedPieces(bytes: number, count: number): Uint8Array[] {
  const buffer = alignedSharedMemory(bytes * count);
  return Array.from({ length: count }, (_, at) => new Uint8Array(buffer, at * bytes, bytes));
}

function pagesOf(bytes: number): ArrayBuffer {
  const initial = Math.ceil(bytes / WASM_PAGE);
  const pages = () => new WebAssembly.Memory({ initial }).buffer;
  return orOtherMemory(pages, () => new ArrayBuffer(bytes));
}

/**
 * NOTE: WebAssembly reserves GiB of addresses for its memory, which `ulimit -v` may forbid. With other
 * memory direct reads fail, and the file is read through the page cache.
 */
function orOtherMemory<T>(pages: () => T, other: () => T): T {
  try {
    return pages();
  } catch (error) {
    if (error instanceof RangeError) return other();
    throw error;
  }
}

/**
 * Reads a file that is not in the page cache. Reading it through the cache would fill pages that no
 * process needs again. On a virtual host that is several times as slow as the disk.
 */
export class DirectFile {
  readonly #path: string;
  #file: FileHandle;
  #isDirect: boolean;
  #goingBuffered: Promise<void> | undefined;

  private constructor(path: string, file: FileHandle, isDirect: boolean) {
    this.#path = path;
    this.#file = file;
    this.#isDirect = isDirect;
  }

  /** `direct`: false if the file is likely to be in the page cache. */
  static async open(path: string, { direct }: { direct: boolean }): Promise<DirectFile> {
    if (direct) {
      const file = await openDirect(path);
      if (file) return new DirectFile(path, file, true);
    }
    return new DirectFile(path, await open(path, 'r'), false);
  }

  /**
   * Fills `memory` from byte `start`, up to `end` or the end of the file. `memory` is a piece of
   * `alignedMemory` or `sharedPieces` and has room for `end - start`, rounded up to 4096. Returns the
   * number of bytes read.
   */
  async read(memory: Uint8Array, start: number, end: number): Promise<number> {
    let done = 0;
    while (start + done < end) {
      const wanted = end - start - done;
      const read = await this.#readOnce(memory, { done, at: start + done, wanted });
      if (read === 0) break;
      done += Math.min(read, wanted);
    }
    return done;
  }

  async close(): Promise<void> {
    await this.#file.close();
  }

  async #readOnce(
    memory: Uint8Array,
    { done, at, wanted }: { done: number; at: number; wanted: number },
  ): Promise<number> {
    const isAligned = at % BLOCK === 0 && done % BLOCK === 0;
    if (this.#isDirect && !isAligned) await this.#goBuffered();
    const isDirect = this.#isDirect;
    const length = isDirect ? Math.ceil(wanted / BLOCK) * BLOCK : wanted;
    try {
      return (await this.#file.read(memory, done, length, at)).bytesRead;
    } catch (error) {
      // Another read may have failed first and reopened the file.
      if (!(isDirect && hasCode(error, 'EINVAL'))) throw error;
      await this.#goBuffered();
      return this.#readOnce(memory, { done, at, wanted });
    }
  }

  /** A file system may accept the flag and reject the read, as if its block is larger than BLOCK. */
  #goBuffered(): Promise<void> {
    this.#goingBuffered ??= this.#reopen();
    return this.#goingBuffered;
  }

  async #reopen(): Promise<void> {
    const direct = this.#file;
    this.#file = await open(this.#path, 'r');
    this.#isDirect = false;
    await direct.close();
  }
}

async function openDirect(path: string): Promise<FileHandle | undefined> {
  try {
    return await open(path, constants.O_RDONLY | constants.O_DIRECT);
  } catch (error) {
    if (hasCode(error, 'EINVAL')) return undefined;
    throw error;
  }
}
