// The main thread's side of a connection's worker: calls as promises, with a deadline.
import { Worker } from 'node:worker_threads';
import { messageOf, PublishError } from '../../core/errors.ts';
import { programUrl } from '../../core/package-files.ts';
import { abandonWorker, newThreadState, watchLoading } from '../../host/native/thread-end.ts';
import { LibvirtError } from '../errors.ts';
import { isLongCall, type Method } from './calls.ts';
import type { Invoke, Reply, Request } from './protocol.ts';

/** How long one call may take, in milliseconds; without a limit if left out. */
export interface CallLimits {
  callTimeoutMs?: number | undefined;
  /** The limit of calls that wait for a guest or a storage; `callTimeoutMs` if left out. */
  longCallTimeoutMs?: number | undefined;
}

interface Pending {
  method: Method;
  resolve: (value: never) => void;
  reject: (error: Error) => void;
}

/**
 * One worker thread. It keeps the process alive while a call is pending, and only then. Calls run one
 * after the other, in order. If the running call exceeds its limit, it and all later ones reject with
 * PublishError LIBVIRT.
 */
export class WorkerClient {
  readonly #state = newThreadState();
  // NOTE: the path includes the folder, which every file of the bundle can resolve, since all lie one
  // folder deep. The caller's Node options are dropped: some do not work with a file (--input-type).
  readonly #worker = new Worker(programUrl('libvirt/worker.js'), {
    execArgv: [],
    workerData: this.#state,
  });
  readonly #pending = new Map<number, Pending>();
  readonly #uri: string;
  readonly #limits: CallLimits;
  #timer: NodeJS.Timeout | undefined;
  #nextId = 1;
  #calledAt = 0;
  /** The error of all further calls. */
  #broken: Error | undefined;
  #ending: Promise<void> | undefined;

  constructor(uri: string, limits: CallLimits = {}) {
    this.#uri = uri;
    this.#limits = limits;
    this.#worker.on('message', (reply: Reply) => this.#settle(reply));
    this.#worker.on('error', (error) => this.#break(crashed(error)));
    this.#worker.unref();
    watchLoading(this.#worker, this.#state);
  }

  /** @throws LibvirtError libvirt's error; PublishError LIBVIRT if the connection is broken. */
  readonly invoke: Invoke = (method, ...args) =>
    new Promise((resolve, reject) => {
      if (this.#broken === undefined) this.#post(args, { method, resolve, reject });
      else reject(this.#broken);
    });

  /** Waits for the pending calls. Never rejects; may be called again. */
  end(): Promise<void> {
    this.#ending ??= this.#end();
    return this.#ending;
  }

  async #end(): Promise<void> {
    if (this.#broken !== undefined) return;
    const closing = this.invoke('close');
    const closed = new PublishError('LIBVIRT', `the connection to ${this.#uri} is closed`);
    this.#broken = closed;
    // A close that fails or hangs is ignored: libvirtd drops the client with its socket.
    await closing.catch(() => undefined);
    if (this.#broken === closed) await this.#worker.terminate();
  }

  #post(args: readonly unknown[], pending: Pending): void {
    const id = this.#nextId++;
    this.#pending.set(id, pending);
    const request = { id, method: pending.method, args } as Request;
    this.#worker.postMessage(request);
    if (this.#pending.size > 1) return;
    this.#worker.ref();
    this.#watch();
  }

  #settle(reply: Reply): void {
    const pending = this.#pending.get(reply.id);
    this.#pending.delete(reply.id);
    clearTimeout(this.#timer);
    if (this.#pending.size === 0) this.#worker.unref();
    else this.#watch();
    if (reply.ok) pending?.resolve(reply.value as never);
    else pending?.reject(new LibvirtError(reply.error));
  }

  /** Starts the deadline of the running call; calls that wait behind it have not started. */
  #watch(): void {
    this.#calledAt = performance.now();
    const limitMs = this.#limitMs();
    if (limitMs === undefined) return;
    this.#timer = setTimeout(() => void this.abandon(), limitMs);
  }

  /** The limit of the running call, which is the oldest pending one. */
  #limitMs(): number | undefined {
    const { callTimeoutMs, longCallTimeoutMs = callTimeoutMs } = this.#limits;
    const [first] = this.#pending.values();
    return first && isLongCall(first.method) ? longCallTimeoutMs : callTimeoutMs;
  }

  /**
   * Rejects all pending and later calls. Resolves when the process is ready to end: the caller may
   * exit at once.
   */
  async abandon(): Promise<void> {
    if (this.#broken !== undefined) return;
    const reason = new PublishError(
      'LIBVIRT',
      `libvirtd does not answer at ${this.#uri}: a call took longer than ${this.#waitedMs()} ms`,
      {
        retryable: true,
        hint: 'read the log of libvirtd, restart it (guests keep running), then retry',
      },
    );
    await abandonWorker(this.#worker, this.#state).finally(() => this.#break(reason));
  }

  #waitedMs(): number {
    return Math.round(performance.now() - this.#calledAt);
  }

  #break(reason: Error): void {
    this.#broken = reason;
    clearTimeout(this.#timer);
    for (const { reject } of this.#pending.values()) reject(reason);
    this.#pending.clear();
    this.#worker.unref();
  }
}

function crashed(error: unknown): PublishError {
  return new PublishError(
    'LIBVIRT',
    `cannot load the libvirt client library: ${messageOf(error)}`,
    {
      cause: error,
      hint: 'install it (libvirt0 on Debian and Ubuntu, libvirt-libs on Fedora)',
    },
  );
}
