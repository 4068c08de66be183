// Runs with two disks, killed between their mirrors, while paused, and between their uploads.
import { beforeAll, expect, test } from 'vitest';
import { makeSandbox, runCli, type Sandbox, startCli } from '../support/cli.ts';
import { createDomain, type TestDomain } from '../support/domains.ts';
import { type GuestPhoto, photograph } from '../support/guest-photo.ts';
import { waitFor } from '../support/wait.ts';
import { expectNothingLeft, imagesIn, untilWhole } from './whole.ts';

const WHOLE_WITHIN_MS = 10_000;

let domain: TestDomain;
let before: GuestPhoto;
let sandbox: Sandbox;
let args: string[];

beforeAll(async () => {
  const shape = 'qcow2-on-raw';
  domain = await createDomain({ shape, secondDisk: { format: 'raw' }, autostart: true });
  before = await photograph(domain);
  sandbox = await makeSandbox();
  args = ['snapshot', domain.name, '--all-disks', '--quiesce', 'off', '--json'];
});

async function statusOfNewest(): Promise<string | undefined> {
  const images = await imagesIn(sandbox);
  return images.sort((a, b) => b.created_at.localeCompare(a.created_at))[0]?.status;
}

async function recover(...flags: string[]): Promise<void> {
  const ran = await runCli(['recover', ...flags], { sandbox });
  expect(ran.exitCode, ran.stderr).toBe(0);
}

test.each([
  ['done:mirror', 'killed'],
  ['intent:pause', 'killed'],
  ['done:pause', 'killed'],
  ['undone:pause', 'killed'],
  ['undone:mirror', 'killed'],
  ['point:image', 'active'],
  ['point:uploaded', 'active'],
])(
  'the guard restores the guest of a run killed at %s, and --resume publishes if possible',
  async (at, image) => {
    const env = { VIRT_PUBLISH_TEST_AT: `${at}=SIGKILL` };
    const ran = await (await startCli(args, { sandbox, env })).done;
    expect(ran.exitCode).toBeNull();
    await untilWhole(domain, before, WHOLE_WITHIN_MS);
    await recover('--resume');
    expect(await statusOfNewest()).toBe(image);
    await expectNothingLeft(sandbox);
  },
);

test('`recover` resumes the guest if run and guard were killed during the pause', async () => {
  const env = { VIRT_PUBLISH_TEST_AT: 'done:pause=SIGKILL,guard' };
  expect((await (await startCli(args, { sandbox, env })).done).exitCode).toBeNull();
  expect(await domain.state()).toBe('paused');
  await recover();
  await untilWhole(domain, before, 100);
  await domain.waitForTick();
});

test('the guard resumes the guest of a run that hangs during the pause, and the run fails', async () => {
  const env = {
    VIRT_PUBLISH_TIMEOUTS_FREEZE_MS: '1000',
    VIRT_PUBLISH_TEST_AT: 'done:pause=SIGSTOP',
  };
  const { child, done } = await startCli(args, { sandbox, env });
  await waitFor('the pause', async () => (await domain.state()) === 'paused');
  await untilWhole(domain, before, WHOLE_WITHIN_MS);
  child.kill('SIGCONT');
  const ran = await done;
  expect(ran.exitCode, ran.stdout).toBe(20);
  await untilWhole(domain, before, 2000);
  expect(await statusOfNewest()).toBe('killed');
  await expectNothingLeft(sandbox);
});
