// How a worker thread that is inside C code ends, and how the process ends while it is.
import { isMainThread, type Worker } from 'node:worker_threads';

/** What a worker and its owner tell each other without waiting for the other's event loop. */
export type ThreadState = Int32Array<SharedArrayBuffer>;

const LOADED = 0;
const GIVEN_UP = 1;

/** Far more than the loading of a C library takes. */
const LOADING_TAKES_MS = 5000;

const loading = new Map<Worker, ThreadState>();
const stuck = new Set<Worker>();
let exitAtOnce: ((code: number) => void) | undefined;
let listening = false;

export function newThreadState(): ThreadState {
  return new Int32Array(new SharedArrayBuffer(2 * Int32Array.BYTES_PER_ELEMENT));
}

/** The worker's word that its libraries are loaded. */
export function tellLoaded(state: ThreadState): void {
  Atomics.store(state, LOADED, 1);
  Atomics.notify(state, LOADED);
}

/** Whether nobody waits any more for what the worker does: it must make no further call. */
export function isGivenUp(state: ThreadState): boolean {
  return Atomics.load(state, GIVEN_UP) === 1;
}

/**
 * Watches a new worker: the process does not exit while it loads its libraries.
 *
 * NOTE: a thread that is ended while koffi loads a library takes the whole process with it (napi's
 * FATAL ERROR, SIGABRT), and `process.exit` ends every thread.
 */
export function watchLoading(worker: Worker, state: ThreadState): void {
  loading.set(worker, state);
  // One that cannot load its libraries ends, which is told after its error.
  for (const end of ['error', 'exit']) worker.once(end, () => loading.delete(worker));
  if (listening) return;
  listening = true;
  process.on('exit', leave);
}

/**
 * Gives a worker up that hangs in C. It ends by itself when its call returns, if it ever does.
 *
 * NOTE: it is not terminated: it may still be loading, see {@link watchLoading}. At exit Node waits
 * for every worker thread, and nothing from outside ends a call that waits for libvirtd: the
 * process would hang at its very end. So the last act of the exit is `_exit` with the same code.
 * Exit listeners that were registered after the first connection was opened are not run then.
 */
export async function giveUpWorker(worker: Worker, state: ThreadState): Promise<void> {
  stuck.add(worker);
  worker.once('exit', () => stuck.delete(worker));
  Atomics.store(state, GIVEN_UP, 1);
  // It looks whether it is given up when something comes in.
  worker.postMessage(undefined);
  worker.unref();
  if (isMainThread) exitAtOnce ??= (await import('./exit-at-once.ts')).exitAtOnce;
}

function leave(code: number): void {
  for (const state of loading.values()) Atomics.wait(state, LOADED, 0, LOADING_TAKES_MS);
  if (stuck.size > 0) exitAtOnce?.(code);
}
