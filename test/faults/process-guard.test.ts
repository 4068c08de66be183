// The guard: hanging runs, signals to the process group, removed folders, and the death of the guard.
import { spawn } from 'node:child_process';
import { randomUUID } from 'node:crypto';
import { once } from 'node:events';
import { mkdir, readdir, readFile, rm, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { beforeAll, beforeEach, expect, test } from 'vitest';
import { makeRunFolder, PASSABLE } from '#built/host/files/own-folders.js';
import { spawnGuard } from '#built/run/guard/guard.js';
import { guardCommand } from '#built/run/guard/guard-command.js';
import { Journal, readJournal, runFacts } from '#built/run/journal/journal.js';
import { prepareDirectories, readBootId, readMachineId } from '#built/run/journal/run-folder.js';
import { lockDomain } from '#built/run/lock/lock.js';
import { makeSandbox, runCli, type Sandbox, startCli } from '../support/cli.ts';
import { createDomain, type TestDomain } from '../support/domains.ts';
import { expectWhole, type GuestPhoto, photograph } from '../support/guest-photo.ts';
import { lab } from '../support/lab.ts';
import { waitFor } from '../support/wait.ts';
import { expectNothingLeft, flawOf, imagesIn, untilWhole } from './whole.ts';

let domain: TestDomain;
let before: GuestPhoto;
let sandbox: Sandbox;

beforeAll(async () => {
  domain = await createDomain({ shape: 'qcow2', autostart: true });
  before = await photograph(domain);
});
beforeEach(async () => {
  sandbox = await makeSandbox();
});

const SHORT = { VIRT_PUBLISH_TIMEOUTS_FREEZE_MS: '1000' };

test('the guard thaws the guest of a run that is stopped during the freeze, and the run fails', async () => {
  const env = { ...SHORT, VIRT_PUBLISH_TEST_AT: 'done:freeze=SIGSTOP' };
  const { child, done } = await startCli(['snapshot', domain.name, '--json'], { sandbox, env });
  await waitFor('the freeze', async () => (await flawOf(domain, before))?.includes('persistent'));
  // Twice the deadline, and two seconds.
  await untilWhole(domain, before, 8000);
  const status = await runCli(['status', '--json'], { sandbox });
  expect(status.stdout).toContain('"state":"running"');
  child.kill('SIGCONT');
  const ran = await done;
  expect(ran.exitCode, ran.stdout).toBe(20);
  await expectWhole(domain, before);
  await expectNothingLeft(sandbox);
  expect((await imagesIn(sandbox)).map(({ status: is }) => is)).toEqual(['killed']);
});

test('a run releases the guest at the freeze deadline if the freeze has no answer', async () => {
  const hook = `--import ${new URL('./fail-libvirt.mjs', import.meta.url).href}`;
  const env = { ...SHORT, NODE_OPTIONS: hook, HANG_LIBVIRT: 'fsFreeze' };
  const ran = await runCli(['snapshot', domain.name, '--json'], { sandbox, env });
  expect(ran.exitCode, ran.stdout).toBe(13);
  expect(ran.stdout).toContain('the guest was held for longer than 2000 ms');
  // The run released the guest, not its guard, which acts later.
  expect(ran.stdout).not.toContain('its guard restored the guest');
  await expectWhole(domain, before);
  await expectNothingLeft(sandbox);
});

test('a run that is stopped just before the freeze publishes nothing', async () => {
  const env = { ...SHORT, VIRT_PUBLISH_TEST_AT: 'intent:freeze=SIGSTOP' };
  const { child, done } = await startCli(['snapshot', domain.name, '--json'], { sandbox, env });
  await waitFor('the undefine', async () => (await flawOf(domain, before)) !== null);
  await untilWhole(domain, before, 8000);
  child.kill('SIGCONT');
  expect((await done).exitCode).toBe(20);
  await untilWhole(domain, before, 2000);
  expect((await imagesIn(sandbox)).map(({ status: is }) => is)).toEqual(['killed']);
});

test('the acts of a run that continues after its guard acted are undone, also if it is killed', async () => {
  const at = 'intent:freeze=SIGSTOP;done:freeze=SIGKILL';
  const env = { ...SHORT, VIRT_PUBLISH_TEST_AT: at };
  const { child, done } = await startCli(['snapshot', domain.name, '--json'], { sandbox, env });
  await waitFor('the undefine', async () => (await flawOf(domain, before)) !== null);
  await untilWhole(domain, before, 8000);
  child.kill('SIGCONT');
  expect((await done).exitCode).toBeNull();
  await untilWhole(domain, before, 2000);
  expect((await runCli(['recover'], { sandbox })).exitCode).toBe(0);
  await expectWhole(domain, before);
  await expectNothingLeft(sandbox);
});

test('the guard starts the guest of a stopped cold run, and the run fails', async () => {
  const env = {
    VIRT_PUBLISH_TIMEOUTS_FREEZE_MS: '100',
    VIRT_PUBLISH_TIMEOUTS_MIRROR_MS: '1000',
    VIRT_PUBLISH_TIMEOUTS_MANAGED_SAVE_MS: '4000',
    VIRT_PUBLISH_TIMEOUTS_CLONE_MS: '100',
    VIRT_PUBLISH_TIMEOUTS_CONVERT_MS: '1000',
    VIRT_PUBLISH_TEST_AT: 'done:save=SIGSTOP',
  };
  const args = ['snapshot', domain.name, '--mode', 'cold', '--json'];
  const { child, done } = await startCli(args, { sandbox, env });
  await waitFor('the save', async () => (await domain.state()) === 'shut off');
  await untilWhole(domain, before, 15_000);
  child.kill('SIGCONT');
  const ran = await done;
  expect([22, 30], ran.stdout).toContain(ran.exitCode);
  await expectWhole(domain, before);
  await expectNothingLeft(sandbox);
  expect((await imagesIn(sandbox)).map(({ status: is }) => is)).toEqual(['killed']);
});

const MIB_BY_CONFIG = { VIRT_PUBLISH_SNAPSHOT_BANDWIDTH_MIB: '1' };

test.each([
  ['SIGINT', ['--method', 'rebase', '--bandwidth', '1'], {}],
  ['SIGTERM', ['--method', 'copy', '--bandwidth', '1'], {}],
  ['SIGHUP', [], MIB_BY_CONFIG],
] as const)(
  '%s twice to the process group undoes all and ends with exit 130 (the mirror keeps its rate: %j)',
  async (signal, flags, env) => {
    const args = ['snapshot', domain.name, ...flags, '--json'];
    const { child, done } = await startCli(args, { sandbox, env });
    const job = await waitFor('the mirror', () => domain.blockJob());
    expect(job).toContain('1048576 bytes/s');
    process.kill(-(child.pid ?? 0), signal);
    await sleep(20);
    process.kill(-(child.pid ?? 0), signal);
    expect((await done).exitCode).toBe(130);
    await untilWhole(domain, before, 500);
    await expectNothingLeft(sandbox);
  },
);

test('the guard restores the guest after kill -9 of the process group during the mirror', async () => {
  const args = ['snapshot', domain.name, '--bandwidth', '1', '--json'];
  const { child, done } = await startCli(args, { sandbox });
  await waitFor('the mirror', () => domain.blockJob());
  process.kill(-(child.pid ?? 0), 'SIGKILL');
  await done;
  await untilWhole(domain, before, 2000);
  expect((await runCli(['recover'], { sandbox })).exitCode).toBe(0);
  await expectNothingLeft(sandbox);
});

test('the guard restores the guest after kill -9 during the managed save', async () => {
  const args = ['snapshot', domain.name, '--mode', 'cold', '--json'];
  const { child, done } = await startCli(args, { sandbox });
  await waitFor('the save', async () =>
    (await domain.tryVirsh('domjobinfo')).stdout.includes('Operation'),
  );
  child.kill('SIGKILL');
  await done;
  await untilWhole(domain, before, 10_000);
  expect((await runCli(['recover'], { sandbox })).exitCode).toBe(0);
  await expectWhole(domain, before);
  await expectNothingLeft(sandbox);
});

test('the guard restores the guest soon, even if another process holds the lock of the domain', async () => {
  const runId = randomUUID();
  const uuid = (await domain.virsh('domuuid')).trim();
  const runPath = join(sandbox.stateDir, 'runs', runId);
  await prepareDirectories(sandbox.stateDir, join(sandbox.stateDir, 'runs'));
  await makeRunFolder(runPath, PASSABLE);
  const xmlPath = join(runPath, 'domain.xml');
  await writeFile(xmlPath, await domain.virsh('dumpxml', '--inactive', '--security-info'));
  const journal = await Journal.create(join(runPath, 'journal.ndjson'));
  const facts = {
    ...{ runId, pid: process.pid, uri: lab().uri, domain: { name: domain.name, uuid } },
    ...{ bootId: await readBootId(), machineId: await readMachineId() },
    ...{ registry: join(sandbox.stateDir, 'registry'), scratch: runPath },
  };
  await journal.write({ type: 'run', facts });
  const deadlines = { freezeMs: 60_000, guestMs: 60_000 };
  const guard = await spawnGuard(lab().uri).watch(journal, { runPath, ...deadlines }, String);
  const data = { xmlPath, autostart: true, metadataPath: null };
  await journal.write({ type: 'intent', act: 'undefine', data });
  await domain.virsh('undefine');
  const lock = await lockDomain({ name: domain.name, uuid }, randomUUID());
  guard.handOver();
  await untilWhole(domain, before, 10_000);
  await lock.release();
  await journal.close();
  expect((await runCli(['recover'], { sandbox })).exitCode).toBe(0);
  await expectNothingLeft(sandbox);
});

/** Removes the folder of the run while the domain is undefined, like a cleaner of temporary files. */
async function startWithoutFolder(at: string): Promise<Awaited<ReturnType<typeof startCli>>> {
  const env = { VIRT_PUBLISH_TEST_AT: `${at}=SIGSTOP` };
  const started = await startCli(['snapshot', domain.name, '--json'], { sandbox, env });
  await waitFor('the stop', async () =>
    /^State:\s+T/m.test(await readFile(`/proc/${started.child.pid}/status`, 'utf8')),
  );
  expect(await flawOf(domain, before)).toContain('persistent');
  const runs = join(sandbox.stateDir, 'runs');
  for (const run of await readdir(runs)) await rm(join(runs, run), { recursive: true });
  return started;
}

test.each(['done:mirror', 'done:freeze'])(
  'a run whose folder is removed at %s defines its domain again from memory',
  async (at) => {
    const { child, done } = await startWithoutFolder(at);
    child.kill('SIGCONT');
    const ran = await done;
    expect(ran.exitCode, ran.stdout).toBe(32);
    expect(ran.stdout).toMatch(/cannot (write|read) the run's journal/);
    await expectWhole(domain, before);
    await expectNothingLeft(sandbox);
  },
);

test('the guard restores the guest of a killed run whose folder was removed', async () => {
  const { child, done } = await startWithoutFolder('done:freeze');
  child.kill('SIGKILL');
  await done;
  await untilWhole(domain, before, 2000);
});

test.each([
  ['a message that was cut', '{"type":"undone","act":"undef'],
  ['a line that is none', 'garbage\n'],
])('the guard restores the guest after %s, and without a journal', async (_, end) => {
  const off = await createDomain({ shape: 'qcow2', state: 'off' });
  const whole = await photograph(off);
  const uuid = (await off.virsh('domuuid')).trim();
  const runPath = join(sandbox.stateDir, 'runs', randomUUID());
  await mkdir(runPath, { recursive: true });
  const facts = {
    ...{ runId: randomUUID(), pid: process.pid, uri: lab().uri, domain: { name: off.name, uuid } },
    ...{ bootId: 'this', machineId: null, registry: null, scratch: runPath },
  };
  await writeFile(join(runPath, 'journal.ndjson'), 'no entry\n');
  const [program, ...args] = guardCommand(lab().uri);
  const guard = spawn(program, args, { stdio: ['pipe', 'pipe', 'inherit'] });
  guard.stdin.write(`${JSON.stringify({ runPath, freezeMs: 60_000, guestMs: 60_000, facts })}\n`);
  await once(guard.stdout, 'data');
  const xml = await off.virsh('dumpxml', '--inactive', '--security-info');
  const data = { xmlPath: join(runPath, 'domain.xml'), autostart: false, metadataPath: null };
  const intent = { type: 'intent', time: '', act: 'undefine' };
  const saved = { xml, metadata: null };
  guard.stdin.write(`${JSON.stringify({ ...intent, data: { ...data, saved } })}\n`);
  await off.virsh('undefine');
  await rm(runPath, { recursive: true });
  guard.stdin.end(end);
  await once(guard, 'exit');
  await expectWhole(off, whole);
});

test('a run reports the death of its guard, and continues to its end', async () => {
  const args = ['snapshot', domain.name, '--bandwidth', '16', '--json'];
  const { done } = await startCli(args, { sandbox });
  await waitFor('the mirror', () => domain.blockJob());
  process.kill(await guardPid(sandbox), 'SIGKILL');
  const ran = await done;
  expect(ran.exitCode, ran.stdout).toBe(0);
  expect(ran.stdout).toContain('the guard process has ended too early');
  await expectWhole(domain, before);
  await expectNothingLeft(sandbox);
});

test('a second run and `recover` do not touch a running run', async () => {
  const args = ['snapshot', domain.name, '--bandwidth', '16', '--json'];
  const { done } = await startCli(args, { sandbox });
  await waitFor('the mirror', () => domain.blockJob());
  const second = await runCli(['snapshot', domain.name, '--json'], { sandbox });
  expect(second.exitCode).toBe(11);
  const recovered = await runCli(['recover', '--json'], { sandbox });
  expect(recovered.exitCode).toBe(0);
  expect(recovered.stdout).toContain('"outcome":"skipped"');
  expect((await done).exitCode).toBe(0);
  await expectWhole(domain, before);
});

async function guardPid({ stateDir }: Sandbox): Promise<number> {
  const [run = ''] = await readdir(join(stateDir, 'runs'));
  const entries = await readJournal(join(stateDir, 'runs', run, 'journal.ndjson'));
  expect(runFacts(entries)?.domain.name).toBe(domain.name);
  const point = entries.find((entry) => entry.type === 'point' && entry.name === 'guard');
  return (point as unknown as { data: { pid: number } }).data.pid;
}
