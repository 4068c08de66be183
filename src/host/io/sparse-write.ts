// Writes bytes into a file and leaves holes in place of zeros.
import type { FileHandle } from 'node:fs/promises';
import { writeAll } from './direct-target.ts';
import { HOLE_BYTES, isZero } from './zeros.ts';

/**
 * Writes `bytes` at byte `at`. Zeros in whole blocks of 64 KiB are written only if the file has other
 * bytes there, as from an earlier try. The file may stay shorter than the end of `bytes`.
 */
export async function writeSparse(file: FileHandle, bytes: Buffer, at: number): Promise<void> {
  for (const run of runsOf(bytes, at)) {
    const piece = bytes.subarray(run.from, run.to);
    if (run.isZero && (await readsAsZeros(file, piece.byteLength, at + run.from))) continue;
    await writeAll(file, piece, at + run.from);
  }
}

/** Makes the file at least `end` bytes long. */
export async function reachEnd(file: FileHandle, end: number): Promise<void> {
  if (end === 0 || (await file.stat()).size >= end) return;
  await file.write(Buffer.alloc(1), 0, 1, end - 1);
}

interface Run {
  from: number;
  to: number;
  isZero: boolean;
}

function* runsOf(bytes: Buffer, at: number): Generator<Run> {
  let run: Run = { from: 0, to: 0, isZero: false };
  while (run.to < bytes.byteLength) {
    const end = Math.min(bytes.byteLength, run.to + HOLE_BYTES - ((at + run.to) % HOLE_BYTES));
    const zero = isZero(bytes, run.to, end);
    if (zero !== run.isZero) {
      if (run.to > run.from) yield run;
      run = { from: run.to, to: end, isZero: zero };
    } else run = { ...run, to: end };
  }
  if (run.to > run.from) yield run;
}

/** Returns true also behind the end of the file. */
async function readsAsZeros(file: FileHandle, length: number, at: number): Promise<boolean> {
  const existing = Buffer.alloc(length);
  const { bytesRead } = await file.read(existing, 0, length, at);
  for (let from = 0; from < bytesRead; from += HOLE_BYTES)
    if (!isZero(existing, from, Math.min(bytesRead, from + HOLE_BYTES))) return false;
  return true;
}
