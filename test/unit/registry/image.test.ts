// The status machine: what may follow what, and what the refusal says.

import { describe, expect, test } from 'vitest';
import {
  assertTransition,
  IMAGE_STATUSES,
  type ImageStatus,
  STATUS_TRANSITIONS,
} from '#built/registry/record/image.js';
import { ID } from './record.ts';

const ALLOWED = [
  'queued saving',
  'queued killed',
  'queued deleted',
  'saving active',
  'saving killed',
  'saving deleted',
  'active deactivated',
  'active deleted',
  'deactivated active',
  'deactivated deleted',
  'killed deleted',
];

const pairs = IMAGE_STATUSES.flatMap((from: ImageStatus) =>
  IMAGE_STATUSES.map((to: ImageStatus) => ({ from, to })),
);
const isAllowed = ({ from, to }: { from: string; to: string }) => ALLOWED.includes(`${from} ${to}`);

describe('transitions', () => {
  test.each(pairs.filter(isAllowed))('$from -> $to is allowed', ({ from, to }) => {
    expect(() => assertTransition(ID, from, to)).not.toThrow();
    expect(STATUS_TRANSITIONS[from]).toContain(to);
  });

  test.each(pairs.filter((pair) => !isAllowed(pair)))(
    '$from -> $to is refused by name',
    ({ from, to }) => {
      expect(() => assertTransition(ID, from, to)).toThrow(
        expect.objectContaining({
          code: 'IMAGE_STATUS',
          message: expect.stringMatching(`${ID} is ${from} and cannot become ${to}`),
        }),
      );
    },
  );
});
