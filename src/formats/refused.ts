// The error for an image that cannot be trusted or used: what is wrong with it, and what to do.
import { PublishError } from '../core/errors.ts';

/** Returns IMAGE_REFUSED. `why` completes "the image …"; `hint` is an imperative. */
export function imageRefused(why: string, hint: string): PublishError {
  return new PublishError('IMAGE_REFUSED', `the image ${why}`, { step: 'inspect', hint });
}

export const FLATTEN_FIRST =
  'if you trust it, make it one flat file with `qemu-img convert`, beside its other files';

export const DO_NOT_USE = 'do not use it';
export const FETCH_AGAIN = 'fetch it again';
export const CONVERT_AT_SOURCE = 'convert it with the program that made it';

/** Returns IMAGE_REFUSED for an image that contradicts itself or ends early. */
export function damaged(what: string): PublishError {
  return imageRefused(`is damaged or incomplete: ${what}`, FETCH_AGAIN);
}
