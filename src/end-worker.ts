// The end of a worker thread, which may hang.
import { setTimeout as sleep } from 'node:timers/promises';
import type { Worker } from 'node:worker_threads';

const GRACE_MS = 1000;

/**
 * Ends a thread. Never rejects.
 * NOTE: one that hangs in a read (a file server that is gone) cannot be ended; whoever was
 * interrupted must not wait for it.
 */
export async function endWorker(worker: Worker): Promise<void> {
  const enough = new AbortController();
  const grace = sleep(GRACE_MS, undefined, { signal: enough.signal }).catch(() => undefined);
  await Promise.race([worker.terminate(), grace]);
  enough.abort();
  await grace;
  worker.unref();
}
