// Threads that compress, one a core: started before an image is written, since not every machine has zstd's library.
import { availableParallelism } from 'node:os';
import { setTimeout as sleep } from 'node:timers/promises';
import { MessageChannel, type MessagePort, Worker } from 'node:worker_threads';
import { ignoreRejection } from '../../core/ignore-rejection.ts';
import { programUrl } from '../../core/package-files.ts';
import { newThreadState, type ThreadState, watchLoading } from '../../host/native/thread-end.ts';
import { type SharedPieces, sharePieces } from './piece-memory.ts';

/** What a thread is started with. */
export interface CompressorSetup {
  state: ThreadState;
  memory: SharedPieces;
  /** Takes pieces, and gives back the slot of each that is done. */
  pieces: MessagePort;
}

export interface PieceToCompress {
  slot: number;
  clusters: number;
}

/** What the thread that writes the image needs of them. */
export interface CompressorPorts {
  memory: SharedPieces;
  ports: MessagePort[];
}

const MAX_THREADS = 4;
/** One that each compresses and one that waits for each; those that are read, and one that is written. */
const SLOTS_A_THREAD = 2;
const MORE_SLOTS = 4;
const CLOSE_GRACE_MS = 1000;

/** `undefined` where they cannot work here. The caller closes them. */
export async function startCompressors(): Promise<Compressors | undefined> {
  const threads = Math.min(availableParallelism(), MAX_THREADS);
  const compressors = new Compressors(threads);
  if (await compressors.areReady()) return compressors;
  await compressors.close();
  return undefined;
}

/** NOTE: none of them is ended before it has loaded its library: that would end the process too. */
export class Compressors {
  readonly #memory: SharedPieces;
  readonly #threads: readonly { worker: Worker; port: MessagePort; ready: Promise<boolean> }[];

  /** Rejects with what ends one of them. */
  readonly failed: Promise<never>;

  constructor(threads: number) {
    this.#memory = sharePieces(threads * SLOTS_A_THREAD + MORE_SLOTS);
    this.#threads = Array.from({ length: threads }, () => startThread(this.#memory));
    const failed = new Promise<never>((_, reject) => {
      for (const { worker } of this.#threads) {
        worker.once('error', reject);
        worker.once('exit', () => reject(new Error('a thread that compresses has ended')));
      }
    });
    // Their end, when nobody needs them any more, must not count as unhandled.
    this.failed = ignoreRejection(failed);
  }

  /** Whether each one has loaded its library. */
  async areReady(): Promise<boolean> {
    const ready = await Promise.all(this.#threads.map((thread) => thread.ready));
    return ready.every((isReady) => isReady);
  }

  /** For the one thread that gives them work. */
  get forWriter(): CompressorPorts {
    return { memory: this.#memory, ports: this.#threads.map(({ port }) => port) };
  }

  /** Never rejects. What they are at is lost. */
  async close(): Promise<void> {
    await Promise.all(this.#threads.map(endThread));
  }
}

function startThread(memory: SharedPieces) {
  const { port1: port, port2: pieces } = new MessageChannel();
  const state = newThreadState();
  const setup: CompressorSetup = { state, memory, pieces };
  const worker = new Worker(programUrl('image/compress-worker.js'), {
    workerData: setup,
    transferList: [pieces],
    // As all threads here: see write-image.ts.
    execArgv: [],
  });
  watchLoading(worker, state);
  return { worker, port, ready: readiness(worker) };
}

function readiness(worker: Worker): Promise<boolean> {
  return new Promise((resolve) => {
    worker.once('message', resolve);
    worker.once('error', () => resolve(false));
    worker.once('exit', () => resolve(false));
  });
}

async function endThread({
  worker,
  port,
  ready,
}: {
  worker: Worker;
  port: MessagePort;
  ready: Promise<boolean>;
}): Promise<void> {
  if (!(await ready)) return;
  const ended = new Promise<boolean>((resolve) => worker.once('exit', () => resolve(false)));
  worker.postMessage('end');
  port.close();
  const enough = new AbortController();
  const grace = sleep(CLOSE_GRACE_MS, true, { signal: enough.signal }).catch(() => false);
  const isLate = await Promise.race([ended, grace]);
  enough.abort();
  if (isLate) await worker.terminate();
}
