// Whether a file lies in the page cache.
import { open } from 'node:fs/promises';

/** Smaller files are not checked. */
const LARGE_BYTES = 64 * 1024 * 1024;
const SAMPLES = 31;

/**
 * Returns whether less than 50% of a large file lies in the page cache, by samples.
 * Returns false if the file cannot be read: the read itself reports that.
 */
export async function isCold(path: string, size: number): Promise<boolean> {
  return areCold(path, samplePlaces([{ at: 0, length: size }]));
}

/** Returns whether less than 50% of the pages at `places` lie in the page cache; false if there are none. */
export async function areCold(path: string, places: readonly number[]): Promise<boolean> {
  if (places.length === 0) return false;
  try {
    const file = await open(path, 'r');
    try {
      const { isPageCached } = await import('../native/page-cache.ts');
      return places.filter((at) => isPageCached(file.fd, at)).length <= places.length / 2;
    } finally {
      await file.close();
    }
  } catch {
    return false;
  }
}

/**
 * Returns the offsets in a file that samples are taken at, spread evenly over its `ranges`; none if
 * these are so small that a look is not worth it.
 */
export function samplePlaces(ranges: readonly { at: number; length: number }[]): number[] {
  const total = ranges.reduce((sum, { length }) => sum + length, 0);
  if (total < LARGE_BYTES) return [];
  const places: number[] = [];
  let passed = 0;
  for (const { at, length } of ranges) {
    for (;;) {
      const next = Math.floor((places.length * total) / SAMPLES);
      if (places.length === SAMPLES || next >= passed + length) break;
      places.push(at + next - passed);
    }
    passed += length;
  }
  return places;
}
