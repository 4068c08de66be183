// The thread that computes one digest: reads the file by itself, in order, as it is told to.
import { createHash, type Hash } from 'node:crypto';
import { closeSync, openSync, readSync } from 'node:fs';
import { parentPort, workerData } from 'node:worker_threads';

/** `update`: goes on with the whole; `range`: a digest of its own; `digest`: ends the whole. */
export type DigestRequest =
  | { id: number; kind: 'update' | 'range'; start: number; end: number }
  | { id: number; kind: 'digest' };

export type DigestAnswer = { id: number; hex: string } | { id: number; error: string };

const CHUNK_BYTES = 1024 * 1024;

const { path, algorithm } = workerData as { path: string; algorithm: string };
const buffer = Buffer.allocUnsafe(CHUNK_BYTES);
const whole = createHash(algorithm);
const file = openSync(path, 'r');

parentPort?.on('message', (request: DigestRequest) => {
  parentPort?.postMessage(answer(request));
});
parentPort?.on('close', () => closeSync(file));

function answer(request: DigestRequest): DigestAnswer {
  const { id } = request;
  try {
    if (request.kind === 'digest') return { id, hex: whole.digest('hex') };
    const hash = request.kind === 'update' ? whole : createHash(algorithm);
    feed(hash, request.start, request.end);
    return { id, hex: request.kind === 'update' ? '' : hash.digest('hex') };
  } catch (error) {
    return { id, error: error instanceof Error ? error.message : String(error) };
  }
}

// NOTE: synchronous reads: the thread has nothing else to do, and they cost a third of what the
// asynchronous ones do.
function feed(hash: Hash, start: number, end: number): void {
  for (let at = start; at < end; ) {
    const read = readSync(file, buffer, 0, Math.min(buffer.length, end - at), at);
    if (read === 0) throw new Error(`${path} ended at byte ${at}, before byte ${end}`);
    hash.update(buffer.subarray(0, read));
    at += read;
  }
}
