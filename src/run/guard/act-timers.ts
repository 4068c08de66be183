// The guard's deadlines: how long each act on the guest may stay pending.

/** The longest delay of a timer in Node. */
const MAX_TIMER_MS = 2 ** 31 - 1;

/** One deadline for all pending acts of a name, counted from the newest of them. */
export class ActTimers {
  readonly #onLate: () => void;
  readonly #timers = new Map<string, { timer: NodeJS.Timeout; pending: number }>();

  constructor(onLate: () => void) {
    this.#onLate = onLate;
  }

  start(act: string, ms: number): void {
    const before = this.#timers.get(act);
    clearTimeout(before?.timer);
    const timer = setTimeout(this.#onLate, Math.min(ms, MAX_TIMER_MS));
    this.#timers.set(act, { timer, pending: (before?.pending ?? 0) + 1 });
  }

  stop(act: string): void {
    const found = this.#timers.get(act);
    if (!found) return;
    found.pending -= 1;
    if (found.pending > 0) return;
    clearTimeout(found.timer);
    this.#timers.delete(act);
  }

  stopAll(): void {
    for (const { timer } of this.#timers.values()) clearTimeout(timer);
    this.#timers.clear();
  }
}
