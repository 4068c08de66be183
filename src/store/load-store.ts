// The code of a bucket's store, loaded before the store is opened.
import { ignoreRejection } from '../core/ignore-rejection.ts';

/** Loads it in the background, during a wait; a failure is reported when the store is opened. */
export function loadStore(url: string): void {
  if (/^s3:/i.test(url)) ignoreRejection(import('./s3/s3-store.ts'));
}
