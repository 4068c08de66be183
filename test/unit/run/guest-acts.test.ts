// The recovery commands of acts, as a shell reads them, and the undo of commit, pause and undefine.
import { execFileSync } from 'node:child_process';
import { chmodSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { expect, test } from 'vitest';
import { Host } from '#built/libvirt/host.js';
import { commit, pause } from '#built/run/acts/chain-acts.js';
import { agentLimit, freeze } from '#built/run/acts/freeze-act.js';
import { detach, mirror, save, undefine } from '#built/run/acts/guest-acts.js';
import type { GuestContext } from '#built/run/acts/guest-context.js';

const UUID = '6f9b0f4c-52a5-4b6c-8ef4-0d6b3b6d7b10';

test('the recovery command of `detach` can be pasted into a shell with any XML', () => {
  const bin = mkdtempSync(join(tmpdir(), 'vp-unit-'));
  writeFileSync(join(bin, 'virsh'), '#!/bin/sh\necho "$@"\nexec cat /dev/stdin\n');
  chmodSync(join(bin, 'virsh'), 0o755);
  const host = new Host('qemu:///system', { callMs: 1 });
  const context: GuestContext = { host, name: "it's", uuid: UUID };
  const xml = `<hostdev mode='subsystem'>\n  <alias name="a$b"/>\n</hostdev>`;
  const command = detach.recoveryCommand(context, { xml, address: '0000:01:00.0' });
  expect(command).not.toContain('\n');
  const env = { PATH: `${bin}:${process.env.PATH}` };
  expect(execFileSync('sh', ['-c', command], { env, encoding: 'utf8' })).toBe(
    `-c qemu:///system attach-device 6f9b0f4c-52a5-4b6c-8ef4-0d6b3b6d7b10 /dev/stdin --live\n<hostdev mode='subsystem'><alias name="a$b"/></hostdev>`,
  );
  rmSync(bin, { recursive: true });
});

test.each([
  ['a plain name', 'web-01.example_a', 'web-01.example_a'],
  ['an option', '-x', UUID],
  ['the id of another domain', '7', UUID],
  ['the UUID of another domain', 'a1b0f4c0-52a5-4b6c-8ef4-0d6b3b6d7b11', UUID],
  ['a name with a space', 'a b', UUID],
  ['a name with letters beyond ASCII', 'büro', UUID],
  ['a command', '$(reboot)', UUID],
])('a recovery command names a domain called %s so that virsh finds no other', (_, name, ref) => {
  const host = new Host('qemu+unix:///system?socket=/run/a&b', { callMs: 1 });
  const context: GuestContext = { host, name, uuid: UUID };
  const virsh = "virsh -c 'qemu+unix:///system?socket=/run/a&b'";
  expect(freeze.recoveryCommand(context, null)).toBe(`${virsh} domfsthaw ${ref}`);
  expect(agentLimit.recoveryCommand(context, { previousS: -2, limitS: 10 })).toBe(
    `${virsh} guest-agent-timeout ${ref} --timeout -2`,
  );
  expect(save.recoveryCommand(context, {})).toBe(`${virsh} start ${ref}`);
  expect(mirror.recoveryCommand(context, { target: 'vda', delta: '/d' })).toBe(
    `${virsh} blockjob ${ref} vda --abort`,
  );
  const data = { xmlPath: "/it's", autostart: true, metadataPath: null };
  expect(undefine.recoveryCommand(context, data)).toBe(
    `${virsh} define '/it'\\''s' && ${virsh} autostart ${ref}`,
  );
});

/** A running domain with a commit on its disk, as the undo of an act sees it. */
function contextOf(seen: { layers: string[]; into: string; rebooted?: boolean }) {
  const calls: string[] = [];
  let job: object | undefined = { type: 4 };
  const [source, ...below] = seen.layers;
  const chain = below.reduceRight(
    (inner, path) => `<backingStore type='file'><source file='${path}'/>${inner}</backingStore>`,
    '',
  );
  const mirror = `<mirror type='file' job='active-commit' ready='yes'><source file='${seen.into}'/></mirror>`;
  const domain = {
    isActive: async () => true,
    getState: async () => ({ state: 'paused', reason: 1 }),
    resume: async () => void calls.push('resume'),
    blockJobInfo: async () => job,
    blockJobAbort: async () => {
      calls.push('abort');
      job = undefined;
    },
    getXMLDesc: async () =>
      `<domain><devices><disk type='file' device='disk'><source file='${source}'/>${chain}${mirror}<target dev='vda'/></disk></devices></domain>`,
  };
  const host = { uri: 'test', domain: async () => domain } as unknown as Host;
  const rebooted = seen.rebooted ?? false;
  return { calls, context: { host, name: 'web', uuid: UUID, rebooted } as GuestContext };
}

test.each([
  ['aborts the job of the run', { layers: ['/top', '/base'], into: '/base' }, ['abort']],
  ['keeps a job into another layer', { layers: ['/top', '/mid', '/base'], into: '/mid' }, []],
  ['keeps a job on another chain', { layers: ['/new', '/base'], into: '/base' }, []],
  [
    'keeps a job that began after a restart of the host',
    { layers: ['/top', '/base'], into: '/base', rebooted: true },
    [],
  ],
])('the undo of a commit %s', async (_, seen, calls) => {
  const made = contextOf(seen);
  const note = await commit.undo(made.context, { target: 'vda', removed: ['/top'], into: '/base' });
  expect(made.calls).toEqual(calls);
  if (seen.layers.includes('/top')) expect(note).toBeUndefined();
  else expect(note).toContain('the chain is shorter');
});

test('the undo of a pause does not resume a guest after a restart of the host', async () => {
  for (const [rebooted, calls] of [
    [true, []],
    [false, ['resume']],
  ] as const) {
    const made = contextOf({ layers: ['/top'], into: '/base', rebooted });
    await pause.undo(made.context, null);
    expect(made.calls).toEqual(calls);
  }
});

test('the undo of an undefine uses the XML in memory if the saved files are missing', async () => {
  const calls: string[] = [];
  let isDefined = false;
  const domain = {
    isPersistent: async () => isDefined,
    isActive: async () => true,
    getAutostart: async () => true,
    listSnapshots: async () => [],
    listCheckpoints: async () => [],
    snapshotCreateXML: async (xml: string) => void calls.push(xml),
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
  const snapshots = [{ name: 's1', xml: '<domainsnapshot/>', isCurrent: true }];
  const saved = { xml: '<domain/>', metadata: { snapshots, checkpoints: [] } };
  const data = { xmlPath: '/gone/a', autostart: true, metadataPath: '/gone/b', saved };
  const context: GuestContext = { host, name: 'web', uuid: UUID };
  expect(await undefine.undo(context, data)).toBeUndefined();
  expect(calls).toEqual(['<domain/>', '<domainsnapshot/>']);
  expect(JSON.stringify(undefine.toJournal?.(data))).not.toContain('<domain');
});
