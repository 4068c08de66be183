// Computes how many characters of an id identify an image in its registry. Pure.

/** Shorter ones are unique today, and not tomorrow. */
const MIN_LENGTH = 8;

/** Follows ids in their order, and keeps what any two of them begin with. */
export class ShortIds {
  #before = '';
  #common = 0;

  /** `id`: not before the one that was taken before it. */
  take(id: string): void {
    let at = 0;
    while (at < id.length && id[at] === this.#before[at]) at += 1;
    if (id !== this.#before) this.#common = Math.max(this.#common, at);
    this.#before = id;
  }

  /** Characters of each id that no other one begins with; none of them is a hyphen at the end. */
  get length(): number {
    const length = Math.max(MIN_LENGTH, this.#common + 1);
    return this.#before[length - 1] === '-' ? length + 1 : length;
  }
}
