// The undos keep what another client did to the domain meanwhile.
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, expect, test } from 'vitest';
import type { Host } from '#built/libvirt/host.js';
import { replaceDisks } from '#built/libvirt/xml/replace-disks.js';
import { pause } from '#built/run/acts/chain-acts.js';
import { liveSources, mirror, save, undefine } from '#built/run/acts/guest-acts.js';
import type { GuestContext } from '#built/run/acts/guest-context.js';
import { findFileUsers } from '#built/run/lock/file-users.js';

const UUID = '6f9b0f4c-52a5-4b6c-8ef4-0d6b3b6d7b10';

interface Seen {
  live?: string;
  stored?: string;
  persistent?: boolean;
  autostart?: boolean;
  active?: boolean;
  state?: { state: string; reason: number };
  id?: number;
  /** virDomainJobOperation. */
  job?: number;
}

/** A domain as an undo finds it; `calls` gets what the undo does to it. */
function contextOf(seen: Seen): { context: GuestContext; calls: string[] } {
  const calls: string[] = [];
  let isDefined = seen.persistent ?? true;
  const domain = {
    getXMLDesc: async (flags: number) => (flags & 2 ? seen.stored : seen.live),
    getID: async () => seen.id ?? 1,
    isActive: async () => seen.active ?? true,
    isPersistent: async () => isDefined,
    getAutostart: async () => seen.autostart ?? false,
    setAutostart: async (on: boolean) => void calls.push(`autostart ${on}`),
    getState: async () => seen.state ?? { state: 'running', reason: 1 },
    getJobOperation: async () => seen.job ?? null,
    abortJob: async () => void calls.push('abort job'),
    blockJobAbort: async () => void calls.push('abort'),
    resume: async () => void calls.push('resume'),
  };
  const defineXML = async (xml: string) => {
    calls.push(xml);
    isDefined = true;
  };
  const host = {
    uri: 'test',
    domain: async () => domain,
    work: async () => ({ defineXML }),
  } as unknown as Host;
  return { calls, context: { host, name: 'web', uuid: UUID } };
}

function xmlWith(source: string, extra = ''): string {
  return `<domain><name>web</name>${extra}<devices><disk type="file" device="disk"><source file="${source}"/><target dev="vda"/></disk><disk type="file" device="disk"><source file="/data"/><target dev="vdb"/></disk></devices></domain>`;
}

const undefineData = {
  xmlPath: '/gone',
  autostart: false,
  metadataPath: null,
  sources: liveSources(xmlWith('/old')),
  saved: { xml: xmlWith('/old', '<title>as it was</title>'), metadata: null },
};

test('the undo of an undefine keeps the new file of a disk, and takes everything else from the saved XML', async () => {
  const seen = { live: xmlWith('/new'), stored: xmlWith('/new'), persistent: false };
  const { context, calls } = contextOf(seen);
  expect(await undefine.undo(context, undefineData)).toContain('vda');
  expect(calls).toEqual([xmlWith('/new', '<title>as it was</title>')]);
});

test('the undo of an undefine defines the saved XML byte for byte if no disk changed', async () => {
  const { context, calls } = contextOf({ live: xmlWith('/old'), persistent: false });
  expect(await undefine.undo(context, undefineData)).toBeUndefined();
  expect(calls).toEqual([undefineData.saved.xml]);
});

test('the undo of an undefine keeps a domain that another client defined with autostart', async () => {
  const { context, calls } = contextOf({ live: xmlWith('/new'), autostart: true });
  expect(await undefine.undo(context, undefineData)).toBeUndefined();
  expect(calls).toEqual([]);
});

test('`replaceDisks` keeps disks that the other XML does not have', () => {
  const xml = xmlWith('/old');
  expect(replaceDisks(xml, '<domain><devices/></domain>', ['vda'])).toBe(xml);
});

const mirrorData = {
  target: 'vda',
  delta: '/run/vda.delta.qcow2',
  source: '/disk.qcow2',
  format: 'qcow2',
  isShallow: true,
};

test.each([
  [true, / --shallow /, /^virsh -c test blockcopy web vda --dest \/disk\.qcow2 --format qcow2/],
  [false, /--pivot && virsh -c test destroy web$/, /^virsh -c test start web --paused && /],
])(
  'the undo of a pivoted mirror fails with a command that copies the delta back (active: %s)',
  async (active, ...patterns) => {
    const { context, calls } = contextOf({ active, live: xmlWith(mirrorData.delta) });
    const failure = await mirror.undo(context, mirrorData).then(
      () => undefined,
      (error: unknown) => error as Error & { recoveryCommand: string },
    );
    expect(failure?.message).toContain(`${mirrorData.delta}, which is kept`);
    for (const pattern of patterns) expect(failure?.recoveryCommand).toMatch(pattern);
    expect(calls).toEqual([]);
  },
);

test('the undo of a mirror does nothing if the mirror ended and the disk has its old file', async () => {
  const { context, calls } = contextOf({ live: xmlWith('/disk.qcow2') });
  expect(await mirror.undo(context, mirrorData)).toBeUndefined();
  expect(calls).toEqual([]);
});

const byUser = { state: 'paused', reason: 1 };
const bySave = { state: 'paused', reason: 3 };

test.each([
  ['resumes the guest that the run paused', 7, ['resume']],
  ['keeps a guest paused that another client started and paused since', 8, []],
])('the undo of a pause %s', async (_, id, expected) => {
  const { context, calls } = contextOf({ state: byUser, id });
  await pause.undo(context, { guestId: 7 });
  expect(calls).toEqual(expected);
});

test.each([
  ['by the save that failed is resumed', bySave, ['resume']],
  ['by another client stays paused', byUser, []],
])('the undo of a save: a guest that is paused %s', async (_, state, expected) => {
  const { context, calls } = contextOf({ state });
  await save.undo(context, {});
  expect(calls).toEqual(expected);
});

test('the undo of a save does not abort a backup of another client', async () => {
  const { context, calls } = contextOf({ job: 9 });
  await save.undo(context, {});
  expect(calls).toEqual([]);
});

let folder: string;
beforeEach(async () => {
  folder = await mkdtemp(join(tmpdir(), 'vp-unit-'));
});
afterEach(() => rm(folder, { recursive: true }));

test.each([
  ['writes to', '<>'],
  ['reads', '<'],
])('`findFileUsers` finds a file that another process %s', async (_, redirection) => {
  const path = join(folder, 'vda.delta.qcow2');
  await writeFile(path, 'x');
  await writeFile(join(folder, 'unused'), 'x');
  expect(await findFileUsers(folder, undefined)).toEqual([]);
  const script = `exec 3${redirection}"$0"; echo ready; read -r line`;
  const child = spawn('bash', ['-c', script, path], { stdio: ['pipe', 'pipe', 'inherit'] });
  await once(child.stdout, 'data');
  const by = `process ${child.pid} (bash)`;
  expect(await findFileUsers(folder, undefined)).toEqual([{ path, by, isVital: false }]);
  child.stdin.end('\n');
  await once(child, 'close');
  expect(await findFileUsers(join(folder, 'gone'), undefined)).toEqual([]);
});
