// A queue of output for a terminal, a pipe or a file: the code that writes never waits for the reader.
import type { Writable } from 'node:stream';
import { setTimeout as sleep } from 'node:timers/promises';
import { hasCode } from '../../core/errors.ts';

/** Writes bytes. Resolves to how many were taken; rejects with the failure of the system. */
export type Sink = (bytes: Uint8Array) => Promise<number>;

/** Small enough to see that a slow reader still reads. */
const CHUNK_BYTES = 16 * 1024;
/** Limit of the output that waits for a stopped reader; reports beyond it are dropped. */
const MAX_WAITING_BYTES = 4 * 1024 * 1024;
/** Another process may have made the descriptor non-blocking. */
const RETRY_MS = 20;

interface Item {
  bytes: Uint8Array;
  done: () => void;
}

/**
 * Writes in order, one piece at a time.
 *
 * NOTE: a reader may stop for any time (Ctrl-S, a pager, a stalled ssh, a file server that hangs).
 * A guest may be frozen or switched off meanwhile. So nothing here blocks the calling thread.
 */
export class Writer {
  readonly #sink: Sink;
  readonly #onFailure: (error: Error) => void;
  readonly #queue: Item[] = [];
  #waitingBytes = 0;
  #isWriting = false;
  #takenAt = 0;
  #droppedReports = 0;
  #onProgress: () => void = () => undefined;
  /** The first failure; later writes are still attempted. */
  failure: Error | undefined;

  constructor(sink: Sink, onFailure: (error: Error) => void = () => undefined) {
    this.#sink = sink;
    this.#onFailure = onFailure;
  }

  /** Whether earlier output still waits for the reader. */
  get isBehind(): boolean {
    return this.#isWriting || this.#queue.length > 0;
  }

  /** Queues a product, however much waits. Resolves when it was taken, has failed, or was dropped. */
  write(content: string | Uint8Array): Promise<void> {
    const bytes = typeof content === 'string' ? Buffer.from(content) : content;
    return new Promise((done) => {
      this.#queue.push({ bytes, done });
      this.#waitingBytes += bytes.length;
      if (!this.#isWriting) void this.#drain();
    });
  }

  /** Queues a report: a line that is worth keeping, up to some megabytes of them. */
  report(text: string): void {
    if (this.#waitingBytes > MAX_WAITING_BYTES) this.#droppedReports += 1;
    else void this.write(text);
  }

  /** Queues what the next one replaces, such as progress; drops it if earlier output still waits. */
  offer(text: string): void {
    if (!this.isBehind) void this.write(text);
  }

  /** Drops the queue: the caller was interrupted. */
  discard(): void {
    for (const { done } of this.#queue.splice(0)) done();
    this.#waitingBytes = 0;
  }

  /** Waits like `drained`, then drops the output that the reader did not take. */
  async finish(stallMs: number): Promise<boolean> {
    const isDrained = await this.drained(stallMs);
    if (!isDrained) this.discard();
    return isDrained;
  }

  /** Waits until everything is taken. Resolves to false if the reader takes nothing for `stallMs`. */
  async drained(stallMs: number): Promise<boolean> {
    const startedAt = performance.now();
    while (this.isBehind) {
      const left = Math.max(startedAt, this.#takenAt) + stallMs - performance.now();
      if (left <= 0) return false;
      const enough = new AbortController();
      const progress = new Promise<void>((resolve) => {
        this.#onProgress = resolve;
      });
      const stalled = sleep(left, undefined, { signal: enough.signal }).catch(() => undefined);
      await Promise.race([progress, stalled]);
      enough.abort();
    }
    return true;
  }

  async #drain(): Promise<void> {
    this.#isWriting = true;
    for (let item = this.#queue[0]; item; item = this.#queue[0]) {
      await this.#writeAll(item.bytes);
      // Unless it was discarded meanwhile.
      if (this.#queue[0] === item) {
        this.#queue.shift();
        this.#waitingBytes -= item.bytes.length;
        item.done();
      }
      if (this.#queue.length === 0) this.#queueDropped();
    }
    this.#isWriting = false;
    this.#onProgress();
  }

  async #writeAll(bytes: Uint8Array): Promise<void> {
    for (let at = 0; at < bytes.length; ) {
      try {
        at += await this.#sink(bytes.subarray(at, at + CHUNK_BYTES));
        this.#takenAt = performance.now();
        this.#onProgress();
      } catch (error) {
        if (hasCode(error, 'EAGAIN')) {
          await sleep(RETRY_MS);
          continue;
        }
        const failure = error instanceof Error ? error : new Error(String(error));
        this.failure ??= failure;
        return this.#onFailure(failure);
      }
    }
  }

  #queueDropped(): void {
    if (this.#droppedReports === 0) return;
    const text = `(${this.#droppedReports} lines were dropped: the reader was too slow)\n`;
    this.#droppedReports = 0;
    void this.write(text);
  }
}

/** A pipe or a socket: Node writes to these without blocking. */
export function streamSink(stream: Writable): Sink {
  // Each write has its failure; without a listener the event would end the process as well.
  stream.on('error', () => undefined);
  return (bytes) =>
    new Promise((resolve, reject) => {
      stream.write(bytes, (error) => (error ? reject(error) : resolve(bytes.length)));
    });
}

/** Part of a `FileHandle`. */
export interface WritableFile {
  write(bytes: Uint8Array): Promise<{ bytesWritten: number }>;
}

let writesInFlight = 0;

/** Whether a thread is inside a write now. It may never return, and Node's exit waits for it. */
export function isWriteInFlight(): boolean {
  return writesInFlight > 0;
}

/** A terminal or a file: the write waits for the reader in a thread of libuv, not in the caller's. */
export function fileSink(file: WritableFile): Sink {
  return async (bytes) => {
    writesInFlight += 1;
    try {
      return (await file.write(bytes)).bytesWritten;
    } finally {
      writesInFlight -= 1;
    }
  };
}
