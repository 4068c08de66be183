// The refusal of an image that somebody else made: what is wrong with it, and what to do.
import { PublishError } from '../core/errors.ts';

/** IMAGE_REFUSED; `why` completes "The image ...", `cure` stands by itself. */
export function refused(why: string, cure: string): PublishError {
  const message = `The image ${why}; it is refused. ${cure}`;
  return new PublishError('IMAGE_REFUSED', message, { step: 'inspect' });
}

export const FLATTEN_FIRST =
  'Where you trust it, make it one flat file with `qemu-img convert` where its other files are.';

export function damaged(what: string): PublishError {
  return refused(`is damaged or cut short: ${what}`, 'Fetch it again.');
}
