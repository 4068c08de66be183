// `inTime` ends with its work, at its deadline and with its signal, even if the work hangs.
import { getEventListeners } from 'node:events';
import { expect, it } from 'vitest';
import { PublishError } from '#built/core/errors.js';
import { inTime } from '#built/core/time-limit.js';

const late = () => new PublishError('UPLOAD', 'too late');
const { signal } = new AbortController();
const never = () => new Promise<never>(() => undefined);

it('`inTime` ends with its work', async () => {
  const limits = { timeoutMs: 60_000, signal, late };
  await expect(inTime(limits, async () => 7)).resolves.toBe(7);
  const failing = inTime(limits, () => Promise.reject(new Error('broken')));
  await expect(failing).rejects.toThrow('broken');
  expect(getEventListeners(signal, 'abort')).toEqual([]);
});

it('`inTime` ends at its deadline and aborts the signal of the work', async () => {
  let reason: unknown;
  const waiting = inTime({ timeoutMs: 1, signal, late }, (over) => {
    over.addEventListener('abort', () => {
      reason = over.reason;
    });
    return never();
  });
  await expect(waiting).rejects.toMatchObject({ code: 'UPLOAD', message: 'too late' });
  expect(reason).toMatchObject({ message: 'too late' });
  expect(getEventListeners(signal, 'abort')).toEqual([]);
});

it('`inTime` ends with its signal, and starts no work after that', async () => {
  const stop = new AbortController();
  const limits = { timeoutMs: 60_000, signal: stop.signal, late };
  const waiting = inTime(limits, never);
  stop.abort(new Error('no more'));
  await expect(waiting).rejects.toThrow('no more');
  let isStarted = false;
  const after = inTime(limits, async () => {
    isStarted = true;
  });
  await expect(after).rejects.toThrow('no more');
  expect(isStarted).toBe(false);
});
