// A wait on storage ends with its work, at its deadline and with its signal, whatever hangs.
import { getEventListeners } from 'node:events';
import { expect, it } from 'vitest';
import { PublishError } from '#built/core/errors.js';
import { inTime } from '#built/core/time-limit.js';

const late = () => new PublishError('UPLOAD', 'too late');
const { signal } = new AbortController();
const never = () => new Promise<never>(() => undefined);

it('ends with its work', async () => {
  const limits = { timeoutMs: 60_000, signal, late };
  await expect(inTime(limits, async () => 7)).resolves.toBe(7);
  const failing = inTime(limits, () => Promise.reject(new Error('broken')));
  await expect(failing).rejects.toThrow('broken');
  expect(getEventListeners(signal, 'abort')).toEqual([]);
});

it('ends at its deadline, of which the work is told', async () => {
  let told: unknown;
  const waiting = inTime({ timeoutMs: 1, signal, late }, (over) => {
    over.addEventListener('abort', () => {
      told = over.reason;
    });
    return never();
  });
  await expect(waiting).rejects.toMatchObject({ code: 'UPLOAD', message: 'too late' });
  expect(told).toMatchObject({ message: 'too late' });
  expect(getEventListeners(signal, 'abort')).toEqual([]);
});

it('ends with its signal, and does not begin after that', async () => {
  const stop = new AbortController();
  const limits = { timeoutMs: 60_000, signal: stop.signal, late };
  const waiting = inTime(limits, never);
  stop.abort(new Error('no more'));
  await expect(waiting).rejects.toThrow('no more');
  let begun = false;
  const after = inTime(limits, async () => {
    begun = true;
  });
  await expect(after).rejects.toThrow('no more');
  expect(begun).toBe(false);
});
