// libvirtd restarts or stops during a run, or has no space for a managed save.
import { beforeAll, beforeEach, expect, test } from 'vitest';
import { makeSandbox, runCli, type Sandbox, startCli } from '../support/cli.ts';
import { createDomain, type TestDomain } from '../support/domains.ts';
import { expectWhole, type GuestPhoto, photograph } from '../support/guest-photo.ts';
import { lab } from '../support/lab.ts';
import { waitFor } from '../support/wait.ts';
import { type PrivateLibvirtd, startPrivateLibvirtd } from './private-libvirtd.ts';
import { expectNothingLeft, imagesIn, untilWhole } from './whole.ts';

let libvirtd: PrivateLibvirtd;
let domain: TestDomain;
let before: GuestPhoto;
let sandbox: Sandbox;

beforeAll(async () => {
  libvirtd = await startPrivateLibvirtd(4);
  // All tests of this file use this libvirtd.
  lab().uri = libvirtd.uri;
  domain = await createDomain({ shape: 'qcow2', autostart: true });
  before = await photograph(domain);
});
beforeEach(async () => {
  sandbox = await makeSandbox();
});

async function expectKilled(): Promise<void> {
  await expectNothingLeft(sandbox);
  expect((await imagesIn(sandbox)).map(({ status }) => status)).toEqual(['killed']);
}

test('a run restores the guest after a restart of libvirtd during the mirror', async () => {
  const args = ['snapshot', domain.name, '--bandwidth', '4', '--json'];
  const { done } = await startCli(args, { sandbox });
  await waitFor('the mirror', () => domain.blockJob());
  await libvirtd.restart();
  const ran = await done;
  await untilWhole(domain, before, 5000);
  if (ran.exitCode === 0) return;
  expect([13, 20], ran.stdout).toContain(ran.exitCode);
  await expectWhole(domain, before);
  await expectKilled();
});

test('`recover` restores the guest after run and guard were killed and libvirtd restarted', async () => {
  const env = { VIRT_PUBLISH_TEST_AT: 'done:mirror=SIGKILL,guard' };
  await (await startCli(['snapshot', domain.name, '--bandwidth', '4'], { sandbox, env })).done;
  await libvirtd.restart();
  const ran = await runCli(['recover', '--json'], { sandbox });
  expect(ran.exitCode, ran.stdout).toBe(0);
  await expectWhole(domain, before);
  await expectKilled();
});

test('the guard waits for libvirtd if the run is killed while libvirtd is stopped', async () => {
  const args = ['snapshot', domain.name, '--bandwidth', '4', '--json'];
  const { child, done } = await startCli(args, { sandbox });
  await waitFor('the mirror', () => domain.blockJob());
  const restarted = libvirtd.restart();
  child.kill('SIGKILL');
  await done;
  await restarted;
  await untilWhole(domain, before, 15_000);
  expect((await runCli(['recover'], { sandbox })).exitCode).toBe(0);
  await expectKilled();
});

test('a managed save that runs out of space is exit 31, and the guest keeps running', async () => {
  const ran = await runCli(['snapshot', domain.name, '--mode', 'cold', '--json'], { sandbox });
  expect(ran.exitCode, ran.stdout).toBe(31);
  await expectWhole(domain, before);
  await expectKilled();
  await domain.destroy();
});
