// Ends a listing whose pages do not lead on, or never end.
import { PublishError, type Step } from '../../core/errors.ts';

/** A page has up to a thousand keys: five million in all, as many as a million images have. */
const MAX_PAGES = 5000;
/** One after the other; some servers skip removed keys so. */
const MAX_EMPTY_PAGES = 100;

/** Follows one listing page by page. */
export class ListGuard {
  readonly #tokens = new Set<string>();
  readonly #fail: (why: string) => PublishError;
  #pages = 0;
  #emptyPages = 0;
  #last = '';

  /** `doing`: the beginning of the message, such as `listing s3://bucket/prefix`. */
  constructor(doing: string, step: Step = 'registry') {
    this.#fail = (why) => {
      const message = `${doing} failed: the list does not end (${why})`;
      const hint = 'check the server, or name a smaller prefix with --registry';
      return new PublishError(step === 'upload' ? 'UPLOAD' : 'REGISTRY', message, { step, hint });
    };
  }

  /**
   * `names`: of the page, sorted; left out for what has no order. `next`: what names the next page.
   * @throws REGISTRY or UPLOAD, not retryable
   */
  check(next: string | undefined, { count, names }: { count: number; names?: string[] }): void {
    this.#pages += 1;
    this.#emptyPages = count === 0 ? this.#emptyPages + 1 : 0;
    const [first, last] = [names?.[0], names?.at(-1)];
    if (first !== undefined && this.#last !== '' && compare(first, this.#last) <= 0) {
      throw this.#fail('a page begins before the end of the one before it');
    }
    this.#last = last ?? this.#last;
    if (next === undefined) return;
    if (this.#tokens.has(next)) throw this.#fail('a page is named as the next one twice');
    this.#tokens.add(next);
    if (this.#emptyPages === MAX_EMPTY_PAGES) {
      throw this.#fail(`${MAX_EMPTY_PAGES} pages had nothing in them`);
    }
    if (this.#pages === MAX_PAGES) throw this.#fail(`it has more than ${MAX_PAGES} pages`);
  }
}

/** Compares the bytes of UTF-8, which is the order of keys in S3. */
function compare(a: string, b: string): number {
  return Buffer.compare(Buffer.from(a), Buffer.from(b));
}
