// Rules for keys in any store. Pure.
import { PublishError } from '../core/errors.ts';

/** Prefix of all probes; each probe writes below its own prefix in it, and removes what it wrote. */
export const PROBES = '.probe/';

/**
 * Holds for every store what holds for the narrowest: no empty, `.` or `..` segment, no control
 * character, 1024 bytes at most (S3), nothing below `.uploads/` (the directory store's own).
 * @throws USAGE
 */
export function assertKey(key: string): void {
  const segments = key.split('/');
  const bad =
    segments.some((segment) => segment === '' || segment === '.' || segment === '..') ||
    segments[0] === '.uploads' ||
    // biome-ignore lint/suspicious/noControlCharactersInRegex: these are what is looked for
    /[\u0000-\u001f\u007f]/.test(key) ||
    Buffer.byteLength(key) > 1024;
  if (bad) {
    throw new PublishError('USAGE', `${JSON.stringify(key)} cannot be a key in a registry`, {
      step: 'registry',
    });
  }
}
