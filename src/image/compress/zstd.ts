// zstd's own library, which qemu-img itself compresses with.
import { koffi, type Pointer } from '../../host/native/koffi.ts';

/** What QEMU compresses with. */
const LEVEL = 3;

/** @throws where this machine does not have the library. */
export function openZstd(): Zstd {
  const library = koffi.load('libzstd.so.1');
  const create: () => Pointer | null = library.func('void *ZSTD_createCCtx()');
  const context = create();
  if (context === null) throw new Error('zstd has no memory');
  return new Zstd(library, context);
}

/** One thread's compressor. */
export class Zstd {
  readonly #context: Pointer;
  readonly #compress: (...args: [Pointer, Buffer, number, Buffer, number, number]) => number;
  readonly #isError: (result: number) => number;
  readonly #free: (context: Pointer) => void;

  constructor(library: ReturnType<typeof koffi.load>, context: Pointer) {
    this.#context = context;
    this.#compress = library.func(
      'size_t ZSTD_compressCCtx(void *context, void *to, size_t room, void *from, size_t length, int level)',
    );
    this.#isError = library.func('unsigned int ZSTD_isError(size_t result)');
    this.#free = library.func('size_t ZSTD_freeCCtx(void *context)');
  }

  /**
   * The bytes written to `to`, as one frame; `undefined` where it has no room for them (or zstd has
   * no memory: whoever stores the bytes as they are loses nothing but room).
   */
  compress(from: Buffer, to: Buffer): number | undefined {
    const sizes = [to.byteLength, from.byteLength] as const;
    const result = this.#compress(this.#context, to, sizes[0], from, sizes[1], LEVEL);
    return this.#isError(result) === 0 ? result : undefined;
  }

  close(): void {
    this.#free(this.#context);
  }
}
