// Ends a worker thread that is inside C code, and the process that has such a thread.
import { isMainThread, type Worker } from 'node:worker_threads';

/** Flags that a worker and its owner share, without waiting for the other's event loop. */
export type ThreadState = Int32Array<SharedArrayBuffer>;

const LOADED = 0;
const ABANDONED = 1;

/** Far more than it takes to load a C library. */
const LOADING_TAKES_MS = 5000;

const loading = new Map<Worker, ThreadState>();
const stuck = new Set<Worker>();
let exitAtOnce: ((code: number) => void) | undefined;
let listening = false;

export function newThreadState(): ThreadState {
  return new Int32Array(new SharedArrayBuffer(2 * Int32Array.BYTES_PER_ELEMENT));
}

/** Called by the worker when its libraries are loaded. */
export function reportLoaded(state: ThreadState): void {
  Atomics.store(state, LOADED, 1);
  Atomics.notify(state, LOADED);
}

/** Returns whether the owner has abandoned the worker, which must make no further call. */
export function isAbandoned(state: ThreadState): boolean {
  return Atomics.load(state, ABANDONED) === 1;
}

/**
 * Watches a new worker, so that the process does not exit while it loads its libraries.
 *
 * NOTE: a thread that is ended while koffi loads a library ends the whole process (napi's FATAL ERROR,
 * SIGABRT), and `process.exit` ends every thread.
 */
export function watchLoading(worker: Worker, state: ThreadState): void {
  loading.set(worker, state);
  // A worker that cannot load its libraries emits `error`, then `exit`.
  for (const end of ['error', 'exit']) worker.once(end, () => loading.delete(worker));
  if (listening) return;
  listening = true;
  process.on('exit', onExit);
}

/**
 * Abandons a worker that hangs in C. It ends by itself when its call returns, if it ever does.
 *
 * NOTE: it is not terminated: it may still be loading, see {@link watchLoading}. At exit Node waits
 * for every worker thread, and nothing ends a call that waits for libvirtd, so the process would
 * hang at its end. Instead the exit listener calls `_exit` with the same code. Exit listeners that
 * were registered after the first connection was opened do not run then.
 */
export async function abandonWorker(worker: Worker, state: ThreadState): Promise<void> {
  stuck.add(worker);
  worker.once('exit', () => stuck.delete(worker));
  Atomics.store(state, ABANDONED, 1);
  // It checks the flag when a message arrives.
  worker.postMessage(undefined);
  worker.unref();
  if (isMainThread) exitAtOnce ??= (await import('./exit-at-once.ts')).exitAtOnce;
}

function onExit(code: number): void {
  for (const state of loading.values()) Atomics.wait(state, LOADED, 0, LOADING_TAKES_MS);
  if (stuck.size > 0) exitAtOnce?.(code);
}
