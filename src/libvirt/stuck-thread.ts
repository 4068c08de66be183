// Lets the process end although a worker thread hangs inside a C call.
import { isMainThread, type Worker } from 'node:worker_threads';

const stuck = new Set<Worker>();
let listening = false;

/**
 * Gives a worker up that hangs in C. It ends by itself if its call ever returns.
 *
 * NOTE: at exit Node waits for every worker thread, and nothing from outside ends a call that waits
 * for libvirtd: the process would hang at its very end. So the last act of the exit is `_exit` with
 * the same code. Exit listeners that were registered after the hang are not run.
 */
export async function giveUpWorker(worker: Worker): Promise<void> {
  stuck.add(worker);
  worker.once('exit', () => stuck.delete(worker));
  void worker.terminate();
  // `terminate` holds the process until the thread has ended.
  worker.unref();
  if (isMainThread && !listening) await leaveAtExit();
}

async function leaveAtExit(): Promise<void> {
  listening = true;
  const { exitAtOnce } = await import('./native.ts');
  process.on('exit', (code) => {
    if (stuck.size > 0) exitAtOnce(code);
  });
}
