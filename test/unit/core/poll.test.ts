// Work that is repeated at intervals.
import { setTimeout as sleep } from 'node:timers/promises';
import { expect, test } from 'vitest';
import { repeat } from '#built/core/poll.js';

test('`repeat` starts no call while an earlier one hangs, and continues after it has ended', async () => {
  const ends: (() => void)[] = [];
  const work = () => new Promise<void>((resolve) => ends.push(resolve));
  const stop = repeat(work, { everyMs: 5, onError: () => undefined });
  await sleep(100);
  expect(ends).toHaveLength(1);
  ends[0]?.();
  await sleep(100);
  expect(ends).toHaveLength(2);
  stop();
});

test('`repeat` passes an error to onError and calls again', async () => {
  const errors: unknown[] = [];
  const work = () => Promise.reject(new Error('full'));
  const stop = repeat(work, { everyMs: 5, onError: (error) => errors.push(error) });
  await sleep(100);
  stop();
  expect(errors.length).toBeGreaterThan(1);
});
