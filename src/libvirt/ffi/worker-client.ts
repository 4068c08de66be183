// The main thread's side of a connection's worker: calls as promises, with a deadline.
import { Worker } from 'node:worker_threads';
import { messageOf, PublishError } from '../../core/errors.ts';
import { programUrl } from '../../core/package-files.ts';
import { abandonWorker, newThreadState, watchLoading } from '../../host/native/thread-end.ts';
import { LibvirtError } from '../errors.ts';
import type { Call, Invoke, Method, Reply } from './protocol.ts';

/** How long one call may take, in milliseconds; for ever if left out. */
export interface CallLimits {
  callTimeoutMs?: number | undefined;
  /** Of calls that wait for a guest or for a storage; as the others if left out. */
  longCallTimeoutMs?: number | undefined;
}

/** libvirt answers these when a guest's memory or a storage is written, read or flushed. */
const STORAGE_CALLS = [
  ...(['managedSave', 'createWithFlags', 'blockJobAbort', 'refreshPool'] as const),
  ...(['snapshotCreateXML', 'snapshotDelete', 'createVolume', 'deleteVolume'] as const),
] as const;
/** The domain's agent limit ends these, and it may be longer than the limit of a call. */
const AGENT_CALLS = [
  ...(['fsFreeze', 'fsThaw', 'getTime', 'setTimeSync', 'getGuestOs'] as const),
  'qemuAgentCommand',
] as const;
const LONG_CALLS: ReadonlySet<Method> = new Set([...STORAGE_CALLS, ...AGENT_CALLS]);

interface Pending {
  method: Method;
  resolve: (value: never) => void;
  reject: (error: Error) => void;
}

/**
 * One worker thread. It keeps the process alive while a call is pending, and only then. Calls are
 * made in the order they come in. If the call at work outlasts its limit, it and all that come after
 * reject with PublishError LIBVIRT.
 */
export class WorkerClient {
  readonly #state = newThreadState();
  // NOTE: with its folder: it is so named from any file of the bundle, which all lie one folder deep.
  // And without the caller's Node options: some of them do not go with a file (--input-type).
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
  /** Why no call can be made any more. */
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

  /** @throws LibvirtError what libvirt said; PublishError LIBVIRT where the connection is broken. */
  readonly invoke: Invoke = (method, ...args) =>
    new Promise((resolve, reject) => {
      if (this.#broken === undefined)
        this.#post({ method, args } as Call, { method, resolve, reject });
      else reject(this.#broken);
    });

  /** Calls that are pending are made first. Never rejects; safe to call again. */
  end(): Promise<void> {
    this.#ending ??= this.#end();
    return this.#ending;
  }

  async #end(): Promise<void> {
    if (this.#broken !== undefined) return;
    const closing = this.invoke('close');
    const closed = new PublishError('LIBVIRT', `the connection to ${this.#uri} is closed`);
    this.#broken = closed;
    // A close that fails or hangs leaves nothing to do: libvirtd drops the client with its socket.
    await closing.catch(() => undefined);
    if (this.#broken === closed) await this.#worker.terminate();
  }

  #post(call: Call, pending: Pending): void {
    const id = this.#nextId++;
    this.#pending.set(id, pending);
    this.#worker.postMessage({ ...call, id });
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

  /** The deadline is for the call at work: one that waits behind it has not begun. */
  #watch(): void {
    this.#calledAt = performance.now();
    const limitMs = this.#limitMs();
    if (limitMs === undefined) return;
    this.#timer = setTimeout(() => void this.giveUp(), limitMs);
  }

  /** Of the call at work, which is the oldest that is pending. */
  #limitMs(): number | undefined {
    const { callTimeoutMs, longCallTimeoutMs = callTimeoutMs } = this.#limits;
    const [first] = this.#pending.values();
    return first && LONG_CALLS.has(first.method) ? longCallTimeoutMs : callTimeoutMs;
  }

  /**
   * Rejects all pending calls, and those that come after. Resolves only when the process is ready to
   * end: the caller may exit at once.
   */
  async giveUp(): Promise<void> {
    if (this.#broken !== undefined) return;
    const reason = new PublishError(
      'LIBVIRT',
      `libvirtd does not answer at ${this.#uri}: a call took longer than ${this.#waitedMs()} ms; ` +
        'look at its log and restart it (the guests keep running), then try again',
      { retryable: true },
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
  const message =
    'the libvirt client library cannot be used: ' +
    `${messageOf(error)}; install it (libvirt0 on Debian and Ubuntu, libvirt-libs on Fedora)`;
  return new PublishError('LIBVIRT', message, { cause: error });
}
