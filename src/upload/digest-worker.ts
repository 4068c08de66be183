// The thread that computes one digest: reads the file by itself, in order, as it is told to.
import { createHash, type Hash } from 'node:crypto';
import { parentPort, workerData } from 'node:worker_threads';
import { alignedMemory, DirectFile } from '../files/direct-file.ts';

/** `update`: goes on with the whole; `range`: a digest of its own; `digest`: ends the whole. */
export type DigestRequest =
  | { id: number; kind: 'update' | 'range'; start: number; end: number }
  | { id: number; kind: 'digest' };

export type DigestAnswer = { id: number; hex: string } | { id: number; error: string };

/** One piece is hashed while the next ones are read. */
const PIECE_BYTES = 2 * 1024 * 1024;
const PIECES = 3;

const { path, direct, algorithm } = workerData as {
  path: string;
  direct: boolean;
  algorithm: string;
};
const whole = createHash(algorithm);
const memory = alignedMemory(PIECE_BYTES, PIECES);
const file = DirectFile.open(path, { direct });
// Raised by the first request; until then it must not count as unhandled.
file.catch(() => undefined);

let last: Promise<unknown> = Promise.resolve();
parentPort?.on('message', (request: DigestRequest) => {
  last = last.then(async () => parentPort?.postMessage(await answer(request)));
});

async function answer(request: DigestRequest): Promise<DigestAnswer> {
  const { id } = request;
  try {
    if (request.kind === 'digest') return { id, hex: whole.digest('hex') };
    const hash = request.kind === 'update' ? whole : createHash(algorithm);
    await feed(hash, request.start, request.end);
    return { id, hex: request.kind === 'update' ? '' : hash.digest('hex') };
  } catch (error) {
    return { id, error: error instanceof Error ? error.message : String(error) };
  }
}

async function feed(hash: Hash, start: number, end: number): Promise<void> {
  const opened = await file;
  const count = Math.ceil((end - start) / PIECE_BYTES);
  const reads: Promise<number>[] = [];
  const readPiece = (n: number) => {
    const at = start + n * PIECE_BYTES;
    reads.push(opened.read(pieceOf(n), at, Math.min(at + PIECE_BYTES, end)));
  };
  try {
    for (let n = 0; n < Math.min(PIECES, count); n += 1) readPiece(n);
    for (let n = 0; n < count; n += 1) {
      const length = (await reads[n]) ?? 0;
      hash.update(pieceOf(n).subarray(0, length));
      if (length < Math.min(PIECE_BYTES, end - start - n * PIECE_BYTES)) throw ended(end);
      if (n + PIECES < count) readPiece(n + PIECES);
    }
  } finally {
    // The memory is the next request's.
    await Promise.allSettled(reads);
  }
}

function pieceOf(n: number): Uint8Array {
  return memory[n % PIECES] ?? new Uint8Array();
}

function ended(end: number): Error {
  return new Error(`${path} ended before byte ${end}`);
}
