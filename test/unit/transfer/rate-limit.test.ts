// The rate of what is sent: an even flow over all senders, on a clock that the test sets.
import { afterEach, beforeEach, expect, test, vi } from 'vitest';
import { RateLimit } from '#built/transfer/upload/rate-limit.js';

beforeEach(() => {
  vi.useFakeTimers();
});
afterEach(() => {
  vi.useRealTimers();
});

test('many senders share one rate, in the order of their requests', async () => {
  const limit = new RateLimit(1000);
  const startedAt = performance.now();
  const went: [string, number][] = [];
  const send = async (name: string, bytes: number) => {
    await limit.take(bytes);
    went.push([name, Math.round(performance.now() - startedAt)]);
  };
  const all = Promise.all([send('a', 500), send('b', 250), send('c', 1000), send('d', 1)]);
  await vi.runAllTimersAsync();
  await all;
  expect(went).toEqual([
    ['a', 0],
    ['b', 500],
    ['c', 750],
    ['d', 1750],
  ]);
});

test('idle time does not permit a higher rate later', async () => {
  const limit = new RateLimit(1000);
  await limit.take(1000);
  await vi.advanceTimersByTimeAsync(60_000);
  await limit.take(1000);
  let went = false;
  const next = limit.take(1).then(() => {
    went = true;
  });
  await vi.advanceTimersByTimeAsync(990);
  expect(went).toBe(false);
  await vi.advanceTimersByTimeAsync(20);
  await next;
});

test('a cancelled sender gets the reason, and its bytes are not counted', async () => {
  const limit = new RateLimit(1000);
  await limit.take(1000);
  const stop = new AbortController();
  const given = limit.take(1_000_000, stop.signal);
  stop.abort(new Error('enough'));
  await expect(given).rejects.toThrow('enough');
  const next = limit.take(1);
  await vi.advanceTimersByTimeAsync(1010);
  await next;
  await expect(limit.take(1, stop.signal)).rejects.toThrow('enough');
});

test('0 is no limit, and a wait longer than a timer of Node is waited for', async () => {
  const none = new RateLimit(0);
  await Promise.all([none.take(1e15), none.take(1e15)]);
  const slow = new RateLimit(1);
  await slow.take(3e6);
  let went = false;
  const next = slow.take(1).then(() => {
    went = true;
  });
  await vi.advanceTimersByTimeAsync(2.9e9);
  expect(went).toBe(false);
  await vi.advanceTimersByTimeAsync(0.2e9);
  await next;
});
