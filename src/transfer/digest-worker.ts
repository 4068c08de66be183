// The thread that computes one digest, of memory that it shares with the reader.
import { createHash, type Hash } from 'node:crypto';
import { parentPort, workerData } from 'node:worker_threads';

/** `of`: which digest of several that are under way. */
export type DigestRequest =
  | { id: number; kind: 'update'; of: number; bytes: Uint8Array }
  | { id: number; kind: 'digest'; of: number };

export type DigestAnswer = { id: number; hex: string };

const { algorithm } = workerData as { algorithm: string };
const hashes = new Map<number, Hash>();

parentPort?.on('message', (request: DigestRequest) => {
  parentPort?.postMessage({ id: request.id, hex: answer(request) } satisfies DigestAnswer);
});

function answer(request: DigestRequest): string {
  const hash = hashes.get(request.of) ?? createHash(algorithm);
  if (request.kind === 'update') {
    hashes.set(request.of, hash.update(request.bytes));
    return '';
  }
  hashes.delete(request.of);
  return hash.digest('hex');
}
