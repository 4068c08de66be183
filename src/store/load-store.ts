// The code of a bucket's store, loaded before the store is opened.
import { quiet } from '../core/quiet.ts';

/** In the background, during a wait; what goes wrong is told by whoever opens the store. */
export function loadStore(url: string): void {
  if (/^s3:/i.test(url)) quiet(import('./s3/s3-store.ts'));
}
