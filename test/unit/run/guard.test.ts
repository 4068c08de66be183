// The guard: its memory of the run without files, and its command line.
import { mkdtemp, readFile, rm, stat } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { dirname, join } from 'node:path';
import { expect, test } from 'vitest';
import { Host } from '#built/libvirt/host.js';
import { guestActs } from '#built/run/acts/guest-acts.js';
import { guardCommand, scopedGuardCommand } from '#built/run/guard/guard-command.js';
import {
  type ActEntry,
  parseMessage,
  withMemory,
  withSecrets,
} from '#built/run/guard/guard-protocol.js';
import { keepJournal } from '#built/run/guard/keep-run.js';
import { GuestScope } from '#built/run/guest-scope.js';
import {
  Journal,
  type JournalEntry,
  pendingActs,
  readJournal,
} from '#built/run/journal/journal.js';

const facts = {
  ...{ runId: 'r', pid: 1, bootId: 'b', machineId: null, uri: 'qemu:///system' },
  ...{ domain: { name: 'web', uuid: 'u' }, registry: null, scratch: '/s' },
};
const journaled = { xmlPath: '/x', autostart: true, metadataPath: null };
const saved = { xml: '<domain/>', metadata: null };

const inMemory: ActEntry[] = [
  { type: 'intent', time: '1', act: 'undefine', data: { ...journaled, saved } },
  { type: 'done', time: '2', act: 'undefine' },
  { type: 'intent', time: '3', act: 'freeze', data: null },
];
const onDisk: JournalEntry[] = [
  { type: 'run', time: '0', facts },
  { type: 'intent', time: '1', act: 'undefine', data: journaled },
  { type: 'done', time: '2', act: 'undefine' },
  { type: 'intent', time: '3', act: 'freeze', data: null },
];
const undone: JournalEntry = { type: 'undone', time: '4', act: 'freeze', data: null };
const pendingOf = (disk: readonly JournalEntry[]) =>
  withSecrets(pendingActs(withMemory(disk, { facts, entries: inMemory })), inMemory);

const define = { act: 'undefine', data: { ...journaled, saved } };
const thaw = { act: 'freeze', data: null };

test.each([
  ['is whole', onDisk, [define, thaw]],
  ['says that others have undone an act', [...onDisk, undone], [define]],
  ['cannot be read', [], [define, thaw]],
  ['has lost the line of an act', onDisk.slice(0, 3), [thaw, define]],
  ['has lost its first lines', onDisk.slice(3), [define, thaw]],
  ['has lost an act that it says was undone', [...onDisk.slice(0, 3), undone], [define]],
])('a guard whose journal %s knows the pending acts with their data', (_, disk, pending) => {
  expect(pendingOf(disk)).toEqual(pending);
});

test('an incomplete message is ignored', () => {
  expect(parseMessage('{"type":"undone","act":"fre')).toBeUndefined();
  expect(parseMessage('{"type":"released"}')).toEqual({ type: 'released' });
});

test('the guard has a scope of its own under systemd, and is a plain child without it', () => {
  const uri = 'qemu:///system';
  expect(scopedGuardCommand(uri, { booted: '/nowhere', isRoot: true })).toBeUndefined();
  for (const [isRoot, manager] of [
    [true, '--system'],
    [false, '--user'],
  ] as const) {
    const command = scopedGuardCommand(uri, { booted: '/', isRoot }) ?? expect.fail();
    expect(command.slice(0, 4)).toEqual(['systemd-run', manager, '--scope', '--collect']);
    expect(command.filter((word) => /^--unit=virt-publish-guard-[\w-]+$/.test(word))).toHaveLength(
      1,
    );
    expect(command.slice(command.indexOf('--') + 1)).toEqual(guardCommand(uri));
  }
});

test('a recovery command names an existing file although the run folder was removed', async () => {
  const folder = await mkdtemp(join(tmpdir(), 'vp-unit-'));
  const runPath = join(folder, 'state', 'runs', 'r');
  const journal = await Journal.create(join(folder, 'journal.ndjson'));
  await journal.write({ type: 'run', facts });
  const uri = 'qemu:///nothing-listens-here';
  const context = { host: new Host(uri, { callMs: 1 }), name: 'web', uuid: 'u' };
  const scope = new GuestScope({ journal, acts: guestActs, context, onNote: String });
  const xmlPath = join(runPath, 'domain.xml');
  const data = { ...journaled, xmlPath, saved };
  await scope.perform(guestActs.undefine ?? expect.fail(), data, async () => undefined);
  const [failure] = await scope.restore();
  expect(failure?.recoveryCommand).toContain(`define ${xmlPath}`);
  expect(await readFile(xmlPath, 'utf8')).toBe('<domain/>');
  expect((await stat(xmlPath)).mode & 0o777).toBe(0o600);
  expect((await stat(dirname(xmlPath))).mode & 0o777).toBe(0o700);
  await keepJournal(runPath, facts, scope.pending);
  const entries = await readJournal(join(runPath, 'journal.ndjson'));
  expect(pendingActs(entries)).toEqual([{ act: 'undefine', data: { ...journaled, xmlPath } }]);
  await journal.close();
  await rm(folder, { recursive: true });
});

test('an act is not started if its journal was removed', async () => {
  const folder = await mkdtemp(join(tmpdir(), 'vp-unit-'));
  const journal = await Journal.create(join(folder, 'journal.ndjson'));
  await journal.write({ type: 'run', facts });
  await rm(folder, { recursive: true });
  const announced = journal.write({ type: 'intent', act: 'freeze', data: null });
  await expect(announced).rejects.toMatchObject({ code: 'WORK_DIR' });
  // An undo is no failure: no process reads that journal any more.
  await journal.write({ type: 'undone', act: 'freeze', data: null });
  await journal.close();
});
