// A guest is let go at its deadline, whatever the call does that holds it.
import { expect, test } from 'vitest';
import { withHoldDeadline } from '#built/capture/hold-deadline.js';

function hold(ms: number) {
  const calls: string[] = [];
  const host = { giveUpWork: async () => void calls.push('connection given up') };
  const release = async () => void calls.push('guest let go');
  return { calls, deadline: { host, ms, release } };
}

test('a call that hangs: the guest is let go first, then the connection is given up', async () => {
  const { calls, deadline } = hold(10);
  const hanging = withHoldDeadline(deadline, () => new Promise(() => undefined));
  await expect(hanging).rejects.toMatchObject({ code: 'LIBVIRT', retryable: true });
  expect(calls).toEqual(['guest let go', 'connection given up']);
});

test('a guest that cannot be let go does not keep the connection', async () => {
  const { calls, deadline } = hold(10);
  const release = () => Promise.reject(new Error('busy'));
  const hanging = withHoldDeadline({ ...deadline, release }, () => new Promise(() => undefined));
  await expect(hanging).rejects.toMatchObject({ code: 'LIBVIRT' });
  expect(calls).toEqual(['connection given up']);
});

test('work that ends in time, either way, is left alone', async () => {
  const { calls, deadline } = hold(20);
  expect(await withHoldDeadline(deadline, async () => 7)).toBe(7);
  const failing = withHoldDeadline(deadline, () => Promise.reject(new Error('no agent')));
  await expect(failing).rejects.toThrow('no agent');
  await new Promise((resolve) => setTimeout(resolve, 50));
  expect(calls).toEqual([]);
});
