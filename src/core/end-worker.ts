// Ends a worker thread that may hang.
import { setTimeout as sleep } from 'node:timers/promises';
import type { Worker } from 'node:worker_threads';

const GRACE_MS = 1000;
/** The id of a thread that has ended. */
const ENDED = -1;

/**
 * Ends a thread; never rejects. If `closeMessage` is given, it is posted and the thread ends by itself.
 * NOTE: a file that a thread is opening when it is terminated stays open, and uses its space, until the
 * process ends. A thread that hangs in a read (a lost file server) cannot be ended, so it is waited for
 * a second only.
 */
export async function endWorker(worker: Worker, closeMessage?: string): Promise<void> {
  if (worker.threadId === ENDED) return;
  const exit = new Promise((resolve) => worker.once('exit', resolve));
  if (closeMessage === undefined) worker.terminate();
  else worker.postMessage(closeMessage);
  const enough = new AbortController();
  const grace = sleep(GRACE_MS, undefined, { signal: enough.signal }).catch(() => undefined);
  await Promise.race([exit, grace]);
  enough.abort();
  await grace;
  worker.terminate();
  worker.unref();
}
