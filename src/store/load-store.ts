// The code of a bucket's store, loaded before the store is opened.
import { ignoreRejection } from '../core/ignore-rejection.ts';

/** In the background, during a wait; what goes wrong is told by whoever opens the store. */
export function loadStore(url: string): void {
  if (/^s3:/i.test(url)) ignoreRejection(import('./s3/s3-store.ts'));
}
