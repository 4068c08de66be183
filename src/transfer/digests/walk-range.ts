// A range of an image read piece by piece, each used in its turn while the next ones are read.
import { PublishError } from '../../core/errors.ts';
import { ignoreRejection } from '../../core/ignore-rejection.ts';
import type { RangeReader } from '../../host/io/image-source.ts';

/**
 * Calls `use` with the bytes `start` to `end`, in order, as long as a piece of `memory` at a time;
 * a piece's memory is reused when its `use` has resolved.
 * @throws UPLOAD if the source ends before `end`, and what reading and `use` throw.
 */
export async function walkRange(
  reader: RangeReader,
  memory: readonly Uint8Array[],
  { start, end }: { start: number; end: number },
  use: (bytes: Uint8Array) => Promise<void> | void,
): Promise<void> {
  const pieceBytes = memory[0]?.byteLength ?? 0;
  const count = Math.ceil((end - start) / pieceBytes);
  const reads: Promise<Uint8Array>[] = [];
  const read = (n: number) => {
    const at = start + n * pieceBytes;
    const piece = memory[n % memory.length] ?? new Uint8Array();
    reads.push(ignoreRejection(readWhole(reader, piece, at, Math.min(at + pieceBytes, end))));
  };
  try {
    for (let n = 0; n < Math.min(memory.length, count); n += 1) read(n);
    for (let n = 0; n < count; n += 1) {
      await use((await reads[n]) ?? new Uint8Array());
      if (n + memory.length < count) read(n + memory.length);
    }
  } finally {
    // The memory is the caller's again.
    await Promise.allSettled(reads);
  }
}

/** `count` pieces of `bytes` each, from the begin of `memory`. */
export function stepsOf(memory: Uint8Array, bytes: number, count: number): Uint8Array[] {
  return Array.from({ length: count }, (_, n) => memory.subarray(n * bytes, (n + 1) * bytes));
}

/** The bytes `start` to `end`, at the begin of `memory`. @throws UPLOAD if there are fewer. */
export async function readWhole(
  reader: RangeReader,
  memory: Uint8Array,
  start: number,
  end: number,
): Promise<Uint8Array> {
  const length = start === end ? 0 : await reader.read(memory, start, end);
  if (length === end - start) return memory.subarray(0, length);
  const message = `the image ended at byte ${start + length}; ${end} bytes were expected`;
  throw new PublishError('UPLOAD', message, { step: 'upload' });
}
