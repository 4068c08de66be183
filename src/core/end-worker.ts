// The end of a worker thread, which may hang.
import { setTimeout as sleep } from 'node:timers/promises';
import type { Worker } from 'node:worker_threads';

const GRACE_MS = 1000;
/** The number of a thread that is no more. */
const ENDED = -1;

/**
 * Ends a thread. Never rejects. `farewell`: a message at which it ends by itself.
 * NOTE: a file that is just being opened when a thread is terminated stays open, and its space used,
 * as long as the process is there. One that hangs in a read (a file server that is gone) cannot be
 * ended; whoever was interrupted must not wait for it.
 */
export async function endWorker(worker: Worker, farewell?: string): Promise<void> {
  if (worker.threadId === ENDED) return;
  const exit = new Promise((resolve) => worker.once('exit', resolve));
  if (farewell === undefined) worker.terminate();
  else worker.postMessage(farewell);
  const enough = new AbortController();
  const grace = sleep(GRACE_MS, undefined, { signal: enough.signal }).catch(() => undefined);
  await Promise.race([exit, grace]);
  enough.abort();
  await grace;
  worker.terminate();
  worker.unref();
}
