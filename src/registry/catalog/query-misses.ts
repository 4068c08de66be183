// Explains why a query found no image: the parts that no image passes. Pure.
import type { ImageRecord } from '../record/image.ts';
import type { ListQuery } from './query-parts.ts';
import { isShown, partsOf, type QueryPart } from './query-parts.ts';

/** Receives each image of a query, and keeps the parts that none of them has passed. */
export class QueryMisses {
  readonly #query: ListQuery;
  readonly #parts: readonly QueryPart[];
  #missed: QueryPart[];
  #seen = 0;

  constructor(query: ListQuery, parts = partsOf(query)) {
    this.#query = query;
    this.#parts = parts;
    this.#missed = [...parts];
  }

  take(image: ImageRecord): void {
    if (!isShown(image, this.#query)) return;
    this.#seen += 1;
    this.#missed = this.#missed.filter((part) => !part.passes(image));
  }

  /** Returns the reason, such as `no image has the tag "x"`. */
  explain(): string {
    const hidden = this.#query.hidden === true ? 'hidden ' : '';
    if (this.#seen === 0) return `there is no ${hidden}image`;
    const one = this.#missed.length > 0;
    const what = (one ? this.#missed : this.#parts).map((part) => part.what);
    return one
      ? `no ${hidden}image has ${what.join(', or ')}`
      : `no ${hidden}image has all of these, though each is in use: ${what.join(', ')}`;
  }
}
