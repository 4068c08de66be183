// Where the bytes of an image come from: a size, and any range of it.

/** What an upload needs to know of its bytes, and it asks for each of them once. */
export interface ImageSource {
  /** Bytes. */
  readonly size: number;
  reader(): RangeReader;
  /**
   * The source must not change while it is read.
   * @throws INTEGRITY where it is no longer what it was.
   */
  checkUnchanged?(): Promise<void>;
}

/** Several reads may be under way at once. */
export interface RangeReader {
  /**
   * Fills `memory` with the bytes `start` (included) to `end` (not included), fewer where the source
   * ends before; resolves to how many. `memory` is of `sharedPieces`, with room for what is asked for
   * rounded up to 4096.
   * @throws PublishError where it cannot be read.
   */
  read(memory: Uint8Array, start: number, end: number): Promise<number>;
  /** Never rejects. */
  close(): Promise<void>;
}
