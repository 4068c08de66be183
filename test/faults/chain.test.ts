// `chain commit` and `chain pull` are killed or interrupted: the guest keeps its chain and has no block job.
import { beforeAll, beforeEach, expect, test } from 'vitest';
import { makeChain } from '../support/chains.ts';
import { makeSandbox, runCli, type Sandbox, startCli } from '../support/cli.ts';
import { createDomainOn, type TestDomain } from '../support/domains.ts';
import { must } from '../support/exec.ts';
import { expectWhole, type GuestPhoto, photograph } from '../support/guest-photo.ts';
import { waitFor } from '../support/wait.ts';
import { expectNothingLeft, untilWhole } from './whole.ts';

let domain: TestDomain;
let before: GuestPhoto;
let sandbox: Sandbox;
let paths: string[];

beforeAll(async () => {
  const made = await makeChain();
  paths = made.paths;
  domain = await createDomainOn(made.dir, [made.disk]);
  before = await photograph(domain);
});
beforeEach(async () => {
  sandbox = await makeSandbox();
});

async function layers(): Promise<string[]> {
  const ran = await runCli(['chain', 'show', domain.name, '--json'], { sandbox });
  const { chain } = ran.events.at(-1) as unknown as { chain: { layers: { path: string }[] } };
  return chain.layers.map(({ path }) => path);
}

async function recover(): Promise<string> {
  const ran = await runCli(['recover'], { sandbox });
  expect(ran.exitCode, ran.stderr).toBe(0);
  await expectNothingLeft(sandbox);
  return ran.stdout + ran.stderr;
}

const COMMIT = ['commit', '--top', 'second', '--base', 'middle'];
const CASES = [
  ['commit', COMMIT],
  ['commit', ['commit']],
  ['pull', ['pull']],
] as const;

function argsOf([verb = '', ...flags]: readonly string[]): string[] {
  const named: Record<string, string | undefined> = { second: paths[1], middle: paths[2] };
  return ['chain', verb, domain.name, ...flags.map((flag) => named[flag] ?? flag)];
}

test.each(CASES)(
  '`chain %s` %j, killed with and without its guard, leaves the chain unchanged',
  async (act, args) => {
    const slow = [...argsOf(args), '--bandwidth', '1', '--quiet'];

    const first = await startCli(slow, { sandbox });
    await waitFor('the job', () => domain.blockJob());
    process.kill(-(first.child.pid ?? 0), 'SIGKILL');
    await first.done;
    await untilWhole(domain, before, 2000);
    expect(await recover()).toContain('recovered, no image');

    const env = { VIRT_PUBLISH_TEST_AT: `done:${act}=SIGKILL,guard` };
    expect((await (await startCli(slow, { sandbox, env })).done).exitCode).toBeNull();
    expect(await domain.blockJob()).not.toBeNull();
    const status = await runCli(['status'], { sandbox });
    expect(status.stdout).toContain(`guest (${act})`);
    await recover();
    await untilWhole(domain, before, 100);

    expect(await layers()).toEqual(paths);
  },
);

test('Ctrl-C ends the block job of `chain`, and a concurrent command finds the domain busy', async () => {
  const args = [...argsOf(['pull']), '--bandwidth', '1'];
  const { child, done } = await startCli(args, { sandbox });
  await waitFor('the job', () => domain.blockJob());
  const second = await runCli(['chain', 'pull', domain.name], { sandbox });
  expect(second.exitCode).toBe(11);
  child.kill('SIGINT');
  expect((await done).exitCode).toBe(130);
  await expectWhole(domain, before);
  await expectNothingLeft(sandbox);
  expect(await layers()).toEqual(paths);
});

test('a commit killed at any point leaves the chain unchanged or shorter, and a later commit completes it', async () => {
  const unfinished = ['intent:commit', 'point:pivot'];
  for (const point of unfinished) {
    const env = { VIRT_PUBLISH_TEST_AT: `${point}=SIGKILL,guard` };
    await (await startCli(argsOf(['commit']), { sandbox, env })).done;
    await recover();
    await untilWhole(domain, before, 100);
    expect(await layers()).toEqual(paths);
  }
  // libvirt has pivoted, and the guest is paused only for the flush.
  const env = { VIRT_PUBLISH_TEST_AT: 'done:pause=SIGKILL' };
  await (await startCli(argsOf(['commit']), { sandbox, env })).done;
  const runs = async () => (await domain.state()) === 'running';
  await waitFor('the guest to run on', runs, { timeoutMs: 2000 });
  // The guard noted it in the journal, and `recover` reports it.
  expect(await recover()).toContain('the chain is shorter');
  const [base = ''] = paths.slice(-1);
  expect(await layers()).toEqual([base]);
  expect(await domain.inactiveXml()).toContain(`<source file='${base}'`);
  await domain.waitForTick();
  await domain.shutdown();
  // The bytes of every layer are in the base, after all the aborted jobs before.
  for (const [index, at] of [128, 140, 152, 164].entries()) {
    const read = `read -P ${index + 1} ${at}M 8M`;
    const said = await must('qemu-io', ['-f', 'raw', '-r', '-c', read, base]);
    expect(said).not.toContain('verification failed');
  }
});
