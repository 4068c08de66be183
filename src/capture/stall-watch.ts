// Detects progress that has stopped.

/** Detects that a number has not changed for `timeoutMs`. */
export class StallWatch {
  readonly #timeoutMs: number;
  #last = -1;
  #movedAt = performance.now();

  constructor(timeoutMs: number) {
    this.#timeoutMs = timeoutMs;
  }

  isStalled(value: number): boolean {
    if (value !== this.#last) {
      this.#last = value;
      this.#movedAt = performance.now();
    }
    return performance.now() - this.#movedAt > this.#timeoutMs;
  }
}
