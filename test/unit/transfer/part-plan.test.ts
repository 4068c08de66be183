// The part plan covers every byte of any size once, within the limits of the store.

import { expect, test } from 'vitest';
import { partAt, partsOf, planParts } from '#built/transfer/upload/part-plan.js';

const MIB = 1024 ** 2;
const TIB = 1024 ** 4;
const LIMITS = {
  minPartBytes: 5 * MIB,
  maxPartBytes: 5 * 1024 * MIB,
  maxParts: 10_000,
  maxObjectBytes: 5 * TIB,
};
const PART = 16 * MIB;

/** The sizes where something changes, each with its neighbours, and a spread of odd ones. */
function* sizes(): Generator<number> {
  const edges = [0, 1, PART, 2 * PART, 10_000 * PART, 10_001 * PART, TIB, 5 * TIB];
  for (const edge of edges) {
    for (const size of [edge - 1, edge, edge + 1]) {
      if (size >= 0 && size <= 5 * TIB) yield size;
    }
  }
  for (let size = 3; size < 5 * TIB; size = Math.floor(size * 1.7) + 11) yield size;
}

test.each([...sizes()])('a plan for %d bytes covers them once, within the limits', (size) => {
  const plan = planParts(size, PART, LIMITS);
  let at = 0;
  let number = 0;
  for (const part of partsOf(plan)) {
    number += 1;
    if (part.number !== number || part.start !== at || part.end < part.start) {
      throw new Error(`part ${number} of ${size} bytes does not follow: ${JSON.stringify(part)}`);
    }
    at = part.end;
  }
  expect(at).toBe(size);
  expect(number).toBe(plan.count);
  expect(plan.count).toBeGreaterThanOrEqual(1);
  expect(plan.count).toBeLessThanOrEqual(LIMITS.maxParts);
  expect(plan.partSize % MIB).toBe(0);
  expect(plan.partSize).toBeGreaterThanOrEqual(PART);
  expect(plan.partSize).toBeLessThanOrEqual(LIMITS.maxPartBytes);
});

test('an empty image is one empty part', () => {
  const plan = planParts(0, PART, LIMITS);
  expect(plan.count).toBe(1);
  expect(partAt(plan, 1)).toEqual({ number: 1, start: 0, end: 0 });
});

test('the configured part size is used if the number of parts allows it', () => {
  expect(planParts(10_000 * PART, PART, LIMITS)).toMatchObject({ partSize: PART, count: 10_000 });
  expect(planParts(10_000 * PART + 1, PART, LIMITS).partSize).toBe(PART + MIB);
  expect(planParts(5 * TIB, PART, LIMITS).partSize).toBe(525 * MIB);
});

test('a part size below the minimum of the store is raised', () => {
  expect(planParts(100 * MIB, MIB, LIMITS).partSize).toBe(5 * MIB);
});

test('an image larger than the maximum of the store is refused with both sizes', () => {
  expect(() => planParts(5 * TIB + 1, PART, LIMITS)).toThrow(
    expect.objectContaining({
      code: 'UPLOAD',
      message: expect.stringContaining('more than the 5 TiB'),
    }),
  );
});
