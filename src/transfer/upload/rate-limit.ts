// One rate for everything that is sent at once: each sender waits for its turn.

/** Longer is too long for one timer of Node. */
const LONGEST_TIMER_MS = 2 ** 30;

/** A token bucket with no burst: bytes go when all that was taken before has had its time. */
export class RateLimit {
  readonly #bytesPerMs: number;
  /** When all that was taken so far has had its time, as performance.now(). */
  #freeAt = 0;

  /** @param bytesPerSecond 0 is no limit */
  constructor(bytesPerSecond: number) {
    this.#bytesPerMs = bytesPerSecond / 1000;
  }

  /**
   * Resolves when `bytes` may be sent, in the order of the calls. Small takes make an even flow.
   * @throws the signal's reason; the bytes are not counted then.
   */
  async take(bytes: number, signal?: AbortSignal): Promise<void> {
    signal?.throwIfAborted();
    if (this.#bytesPerMs === 0) return;
    const costMs = bytes / this.#bytesPerMs;
    const startAt = Math.max(performance.now(), this.#freeAt);
    this.#freeAt = startAt + costMs;
    try {
      for (let leftMs = startAt - performance.now(); leftMs > 0; ) {
        await sleep(Math.min(leftMs, LONGEST_TIMER_MS), signal);
        leftMs = startAt - performance.now();
      }
    } catch (error) {
      this.#freeAt -= costMs;
      throw error;
    }
  }
}

/** Rejects with the signal's own reason, which the promise of node:timers wraps. */
function sleep(ms: number, signal: AbortSignal | undefined): Promise<void> {
  return new Promise((resolve, reject) => {
    const stop = () => {
      clearTimeout(timer);
      reject(signal?.reason);
    };
    const timer = setTimeout(() => {
      signal?.removeEventListener('abort', stop);
      resolve();
    }, ms);
    signal?.addEventListener('abort', stop, { once: true });
  });
}

/** The fields of an upload's policy that determine how long a part takes. Rates and sizes in MiB. */
interface PacedPolicy {
  rateMib?: number;
  concurrency: number;
  partSizeMib: number;
  partMs: number;
}

/** Returns the policy with a longer deadline: at a low rate the parts under way wait for each other. */
export function withTimeForRate<Policy extends PacedPolicy>(policy: Policy): Policy {
  const { rateMib = 0, concurrency, partSizeMib, partMs } = policy;
  if (rateMib === 0) return policy;
  return { ...policy, partMs: partMs + ((concurrency * partSizeMib) / rateMib) * 1000 };
}
