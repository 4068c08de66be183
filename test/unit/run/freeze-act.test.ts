// The undo of a freeze: when it thaws, when the freeze has ended already, and when it has to wait.
import { beforeEach, expect, test } from 'vitest';
import { LibvirtError, VIR_ERR } from '#built/libvirt/errors.js';
import { agentLimit, freeze } from '#built/run/acts/freeze-act.js';
import { NotYet } from '#built/run/guest-scope.js';

const RUNTIME = { id: 3, pid: 100, startTime: '7' };
const BOOTED = 1;
const UNPAUSED = 5;

let guest: {
  active: boolean;
  state: string;
  reason: number;
  saved: boolean;
  runtime: typeof RUNTIME;
  connected: boolean;
  thaw: number | Error;
  timeoutS: number;
};
let calls: string[];
beforeEach(() => {
  guest = {
    ...{ active: true, state: 'running', reason: UNPAUSED, saved: false, runtime: RUNTIME },
    ...{ connected: true, thaw: 1, timeoutS: -2 },
  };
  calls = [];
});

const unresponsive = new LibvirtError({
  ...{ code: VIR_ERR.AGENT_UNRESPONSIVE, domain: 10, call: 'virDomainFSThaw' },
  message: 'Guest agent is not responding',
});

const domain = {
  isActive: async () => guest.active,
  isPersistent: async () => true,
  hasManagedSaveImage: async () => guest.saved,
  getState: async () => ({ state: guest.state, reason: guest.reason }),
  runtime: async () => guest.runtime,
  status: async () => (guest.active ? { pid: 100, agentTimeoutS: guest.timeoutS } : undefined),
  agentSetResponseTimeout: async (seconds: number) => {
    guest.timeoutS = seconds;
  },
  fsThaw: async () => {
    calls.push(`thaw within ${guest.timeoutS} s`);
    if (guest.thaw instanceof Error) throw guest.thaw;
    return guest.thaw;
  },
  getXMLDesc: async () =>
    `<domain type='qemu'><devices><channel type='unix'><target type='virtio' name='org.qemu.guest_agent.0' state='${guest.connected ? 'connected' : 'disconnected'}'/></channel></devices></domain>`,
};

function undo({ rebooted = false, data = { runtime: RUNTIME } as object | null } = {}) {
  const host = { uri: 'qemu:///system', domain: async () => domain };
  return freeze.undo({ host, name: 'web', uuid: 'u', rebooted } as never, data as never);
}

test('the undo of a freeze limits its wait for the agent, and restores the limit of the domain', async () => {
  await undo();
  expect(calls).toEqual(['thaw within 10 s']);
  expect(guest.timeoutS).toBe(-2);
  guest.thaw = unresponsive;
  await expect(undo()).rejects.toThrow('--abandon-thaw');
  expect(guest.timeoutS).toBe(-2);
});

test.each([
  ['was switched off', { active: false }],
  ['has crashed', { state: 'crashed' }],
])('the undo of a freeze does not thaw a guest that %s', async (_, change) => {
  Object.assign(guest, change);
  expect(await undo()).toBeUndefined();
  expect(calls).toEqual([]);
});

test.each([
  ['is paused', { state: 'paused' }],
  ['sleeps', { state: 'pmsuspended' }],
  ['is in a managed save', { active: false, saved: true }],
])(
  'the undo of a freeze waits for a guest that %s, whose memory keeps the freeze',
  async (how, change) => {
    Object.assign(guest, change);
    const failure = await undo().catch((error: unknown) => error);
    expect(failure).toBeInstanceOf(NotYet);
    expect(failure).toMatchObject({ isParked: true, message: expect.stringContaining(how) });
    expect(calls).toEqual([]);
  },
);

test('the undo of a freeze may be retried while no agent has the channel open', async () => {
  Object.assign(guest, { connected: false, thaw: unresponsive });
  await expect(undo()).rejects.toMatchObject({ name: 'NotYet', isParked: false });
});

test.each([
  ['another QEMU process, booted', { runtime: { ...RUNTIME, startTime: '9' } }, BOOTED, true],
  ['another QEMU process, from a save', { runtime: { ...RUNTIME, pid: 101 } }, UNPAUSED, false],
  [
    'another number of the domain',
    { runtime: { id: 4, pid: null, startTime: null } },
    BOOTED,
    true,
  ],
  ['the same QEMU process', {}, BOOTED, false],
])('a failed thaw counts as done, or fails: %s', async (_, change, reason, isOver) => {
  Object.assign(guest, { thaw: unresponsive, reason, ...change });
  if (isOver) expect(await undo()).toBeUndefined();
  else await expect(undo()).rejects.toThrow('Guest agent is not responding');
});

test('a guest that booted after its host needs no thaw, also with a journal of an earlier version', async () => {
  Object.assign(guest, { thaw: unresponsive, reason: BOOTED });
  expect(await undo({ rebooted: true, data: null })).toBeUndefined();
  await expect(undo({ data: null })).rejects.toThrow('not responding');
});

test('the undo of an agent limit keeps a limit that another client has set since', async () => {
  const lift = () =>
    agentLimit.undo({ host: { domain: async () => domain }, name: 'web', uuid: 'u' } as never, {
      previousS: 30,
      limitS: 10,
    });
  guest.timeoutS = 77;
  await lift();
  expect(guest.timeoutS).toBe(77);
  guest.timeoutS = 10;
  await lift();
  expect(guest.timeoutS).toBe(30);
});
