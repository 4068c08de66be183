// A held guest is released at its deadline, even if the call that holds it hangs.
import { expect, test } from 'vitest';
import { withHoldDeadline } from '#built/capture/hold-deadline.js';

function hold(ms: number) {
  const calls: string[] = [];
  const host = { abandonWork: async () => void calls.push('connection abandoned') };
  const release = async () => void calls.push('guest let go');
  return { calls, deadline: { host, ms, release } };
}

test('`withHoldDeadline` releases the guest first, then abandons the connection of a call that hangs', async () => {
  const { calls, deadline } = hold(10);
  const hanging = withHoldDeadline(deadline, () => new Promise(() => undefined));
  await expect(hanging).rejects.toMatchObject({ code: 'LIBVIRT', retryable: true });
  expect(calls).toEqual(['guest let go', 'connection abandoned']);
});

test('`withHoldDeadline` abandons the connection also if the release fails', async () => {
  const { calls, deadline } = hold(10);
  const release = () => Promise.reject(new Error('busy'));
  const hanging = withHoldDeadline({ ...deadline, release }, () => new Promise(() => undefined));
  await expect(hanging).rejects.toMatchObject({ code: 'LIBVIRT' });
  expect(calls).toEqual(['connection abandoned']);
});

test('`withHoldDeadline` does nothing if the work settles in time', async () => {
  const { calls, deadline } = hold(20);
  expect(await withHoldDeadline(deadline, async () => 7)).toBe(7);
  const failing = withHoldDeadline(deadline, () => Promise.reject(new Error('no agent')));
  await expect(failing).rejects.toThrow('no agent');
  await new Promise((resolve) => setTimeout(resolve, 50));
  expect(calls).toEqual([]);
});
