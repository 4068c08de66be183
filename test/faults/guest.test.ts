// Failures of the guest, its agent, libvirt's calls and qemu-img during a run.
import { readFile, rename, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { beforeEach, expect, test } from 'vitest';
import { type CliResult, makeSandbox, runCli, type Sandbox, startCli } from '../support/cli.ts';
import { createDomain, type TestDomain } from '../support/domains.ts';
import { must } from '../support/exec.ts';
import { expectWhole, photograph } from '../support/guest-photo.ts';
import { waitFor } from '../support/wait.ts';
import { findConvert, slowQemuImg } from './slow-qemu-img.ts';
import { expectNothingLeft, imagesIn, untilWhole } from './whole.ts';

const HOOK = `--import ${new URL('./fail-libvirt.mjs', import.meta.url).href}`;

let sandbox: Sandbox;
beforeEach(async () => {
  sandbox = await makeSandbox();
});

/** One domain for the tests that restore it. */
let shared: TestDomain | undefined;
async function lasting(): Promise<TestDomain> {
  shared ??= await createDomain({ shape: 'qcow2', autostart: true });
  return shared;
}

/** Runs a slow live snapshot and does `fault` while its mirror copies. */
async function duringMirror(
  domain: TestDomain,
  fault: () => Promise<unknown>,
  env: Record<string, string> = {},
): Promise<CliResult> {
  const args = ['snapshot', domain.name, '--bandwidth', '10', '--json'];
  const { done } = await startCli(args, { sandbox, env });
  await waitFor('the mirror', () => domain.blockJob());
  await fault();
  return done;
}

async function expectKilled(): Promise<void> {
  await expectNothingLeft(sandbox);
  expect((await imagesIn(sandbox)).map(({ status }) => status)).toEqual(['killed']);
}

test.each([
  ['powers itself off', ['shutdown', '--mode', 'agent']],
  ['is destroyed', ['destroy']],
])('a domain stays defined and off if its guest %s during the mirror', async (_, command) => {
  const domain = await createDomain({ shape: 'qcow2', autostart: true });
  const before = await photograph(domain);
  const [verb = '', ...flags] = command;
  const ran = await duringMirror(domain, () => domain.tryVirsh(verb, ...flags));
  expect(ran.exitCode, ran.stdout).toBe(20);
  expect(ran.stdout).toContain('the guest was switched off');
  await expectWhole(domain, { ...before, state: 'shut off' });
  await expectKilled();
  await domain.destroy();
});

test('a run does not freeze a guest whose agent hangs; the image is crash-consistent', async () => {
  const domain = await createDomain({ shape: 'qcow2' });
  const before = await photograph(domain);
  const script = '(sleep 0.3; killall -STOP qemu-ga; sleep 24; killall -CONT qemu-ga) &';
  const hang = () => domain.agent.call('guest-exec', { path: '/bin/sh', arg: ['-c', script] });
  const ran = await duringMirror(domain, hang, { VIRT_PUBLISH_TIMEOUTS_FREEZE_MS: '1000' });
  expect(ran.exitCode, ran.stdout).toBe(0);
  expect(ran.stdout).toContain('the image will be crash-consistent');
  expect(ran.events.at(-1)).toMatchObject({
    image: { properties: { snapshot_consistency: 'crash' } },
  });
  expect(await domain.info('Persistent')).toBe('yes');
  expect(await domain.blockJob()).toBeNull();
  await domain.agent.wait();
  await untilWhole(domain, before, 10_000);
  await domain.destroy();
});

test('`--quiesce require` publishes nothing if the agent hangs', async () => {
  const domain = await createDomain({ shape: 'qcow2' });
  const env = { VIRT_PUBLISH_TIMEOUTS_FREEZE_MS: '1000' };
  const args = ['snapshot', domain.name, '--bandwidth', '8', '--quiesce', 'require', '--json'];
  const { done } = await startCli(args, { sandbox, env });
  await waitFor('the mirror', () => domain.blockJob());
  await domain.agent.hang();
  const ran = await done;
  expect([21, 50], ran.stdout).toContain(ran.exitCode);
  expect((await imagesIn(sandbox)).map(({ status }) => status)).toEqual(['killed']);
  expect(await domain.info('Persistent')).toBe('yes');
  await domain.destroy();
});

test('a run retries undos that libvirt rejects, and else prints a recovery command that works', async () => {
  const domain = await lasting();
  const before = await photograph(domain);
  const snapshot = (fail: string) =>
    runCli(['snapshot', domain.name, '--json'], {
      sandbox,
      env: { NODE_OPTIONS: HOOK, FAIL_LIBVIRT: fail },
    });

  const once = await snapshot('defineXML=1+1');
  expect(once.exitCode, once.stdout).toBe(0);
  await expectWhole(domain, before);

  const abort = await snapshot('blockJobAbort=1');
  expect(abort.exitCode, abort.stdout).not.toBe(0);
  expect(abort.exitCode).not.toBe(50);
  await expectWhole(domain, before);
  await expectNothingLeft(sandbox);

  const thaw = await snapshot('fsThaw=1');
  expect(thaw.exitCode, thaw.stdout).toBe(0);
  await expectWhole(domain, before);

  for (const call of ['defineXML=99+1', 'blockJobAbort=99', 'fsThaw=99']) {
    const never = await snapshot(call);
    expect(never.exitCode, `${call} ${never.stdout}`).toBe(50);
    const { recoveryCommand, message, undoFailures } = never.events.at(-1) as {
      recoveryCommand: string[];
      message: string;
      undoFailures: string[];
    };
    expect(undoFailures.length, message).toBeGreaterThan(0);
    // The command must work in a plain shell, without the hook.
    await must('sh', ['-c', recoveryCommand.at(-1) ?? 'false']);
    await untilWhole(domain, before, 2000);
    const recovered = await runCli(['recover', '--json'], { sandbox });
    expect(recovered.exitCode, recovered.stdout).toBe(0);
    await expectWhole(domain, before);
    await expectNothingLeft(sandbox);
  }
});

test('a run rejects a missing layer before it touches the domain', async () => {
  const domain = await createDomain({ shape: 'chain3' });
  const before = await photograph(domain);
  const [, base] = domain.disk().backing;
  await rename(base?.path ?? '', `${base?.path}.moved`);
  const ran = await runCli(['snapshot', domain.name, '--json'], { sandbox });
  await rename(`${base?.path}.moved`, base?.path ?? '');
  expect(ran.exitCode, ran.stdout).toBe(30);
  expect(ran.stdout).toContain(base?.path ?? '?');
  await expectWhole(domain, before);
  await expectNothingLeft(sandbox);
  await domain.destroy();
});

test.each(['live', 'cold'])(
  'a %s run restores the guest if qemu-img is killed during the convert',
  async (mode) => {
    const domain = await lasting();
    const before = await photograph(domain);
    const env = await slowQemuImg(1000);
    const args = ['snapshot', domain.name, '--mode', mode, '--json'];
    const { done } = await startCli(args, { sandbox, env });
    process.kill(await waitFor('qemu-img', () => findConvert(sandbox.dir)), 'SIGKILL');
    const ran = await done;
    expect(ran.exitCode, ran.stdout).toBe(30);
    await expectWhole(domain, before);
    await expectKilled();
  },
);

test('the guard of a killed cold run ends its qemu-img and starts the guest', async () => {
  const domain = await lasting();
  const before = await photograph(domain);
  const env = await slowQemuImg(500);
  const args = ['snapshot', domain.name, '--mode', 'cold', '--json'];
  const { child, done } = await startCli(args, { sandbox, env });
  const convert = await waitFor('qemu-img', () => findConvert(sandbox.dir));
  child.kill('SIGKILL');
  await done;
  await untilWhole(domain, before, 3000);
  expect(await findConvert(sandbox.dir), `qemu-img ${convert}`).toBeUndefined();
  expect((await runCli(['recover'], { sandbox })).exitCode).toBe(0);
  await expectWhole(domain, before);
  await expectKilled();
});

test('a detached host device is attached again after a save, a failed save, a kill, and by `recover`', async () => {
  const domain = await lasting();
  const before = await photograph(domain);
  const log = join(sandbox.dir, 'device');
  const fake = `--import ${new URL('./fake-hostdev.mjs', import.meta.url).href}`;
  const env = {
    NODE_OPTIONS: `${fake} ${HOOK}`,
    FAKE_HOSTDEV: log,
    FAKE_HOSTDEV_XML: `<hostdev mode='subsystem' type='pci' managed='yes'><source><address domain='0x0000' bus='0x06' slot='0x02' function='0x0'/></source></hostdev>`,
  };
  const cold = ['snapshot', domain.name, '--mode', 'cold', '--json'];
  const moves = async (more: Record<string, string>, args = cold) => {
    await writeFile(log, args[0] === 'recover' ? 'detached\n' : 'attached\n');
    const ran = await runCli(args, { sandbox, env: { ...env, ...more } });
    return { ran, moved: (await readFile(log, 'utf8')).trim().split('\n').slice(1) };
  };

  const well = await moves({});
  expect(well.ran.exitCode, well.ran.stdout).toBe(0);
  expect(well.moved).toEqual(['detached', 'attached']);

  const noSave = await moves({ FAIL_LIBVIRT: 'managedSave=1' });
  expect(noSave.ran.exitCode, noSave.ran.stdout).toBe(22);
  expect(noSave.moved).toEqual(['detached', 'attached']);

  const died = await moves({ VIRT_PUBLISH_TEST_AT: 'done:save=SIGKILL' });
  expect(died.ran.exitCode).toBeNull();
  const isBack = async () => (await readFile(log, 'utf8')).trim().split('\n').length === 3;
  await waitFor('the guard to attach the device', isBack);
  await untilWhole(domain, before, 5000);

  const never = await moves({ FAIL_LIBVIRT: 'attachDeviceFlags=99' });
  expect(never.ran.exitCode, never.ran.stdout).toBe(50);
  const { recoveryCommand } = never.ran.events.at(-1) as { recoveryCommand: string[] };
  expect(recoveryCommand.join()).toMatch(/bus="0x06".*\| virsh .* attach-device .* --live$/);
  const recovered = await moves({}, ['recover', '--json']);
  expect(recovered.ran.exitCode, recovered.ran.stdout).toBe(0);
  expect(recovered.moved).toEqual(['attached']);
  await expectWhole(domain, before);
  await expectNothingLeft(sandbox);
});
