// The bytes of an image before they are stored: a size, and any range of it.

/** The source of an upload, which reads each byte once. */
export interface ImageSource {
  /** Bytes. */
  readonly size: number;
  reader(): RangeReader;
  /** @throws PublishError INTEGRITY if the source was changed while it was read. */
  checkUnchanged?(): Promise<void>;
}

/** Several reads may be under way at once. */
export interface RangeReader {
  /**
   * Fills `memory` with the bytes `start` (included) to `end` (excluded), fewer if the source ends
   * before; returns how many. `memory` is one of `sharedPieces`, with room for the range rounded up to
   * 4096.
   * @throws PublishError if the source cannot be read.
   */
  read(memory: Uint8Array, start: number, end: number): Promise<number>;
  /** Never rejects. */
  close(): Promise<void>;
}
