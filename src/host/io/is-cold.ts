// Whether a file lies in the page cache.
import { open } from 'node:fs/promises';

/** Smaller files are not worth a look. */
const LARGE_BYTES = 64 * 1024 * 1024;
const SAMPLES = 31;

/**
 * Whether less than half of a large file lies in the page cache, as far as samples tell. False if the
 * file cannot be read: whoever reads it reports that.
 */
export async function isCold(path: string, size: number): Promise<boolean> {
  if (size < LARGE_BYTES) return false;
  try {
    const file = await open(path, 'r');
    try {
      const { isPageCached } = await import('../native/page-cache.ts');
      const places = Array.from({ length: SAMPLES }, (_, n) => Math.floor((n * size) / SAMPLES));
      return places.filter((at) => isPageCached(file.fd, at)).length <= SAMPLES / 2;
    } finally {
      await file.close();
    }
  } catch {
    return false;
  }
}
