// A dry run foresees what the run would fail with: work and state directory, QEMU's way, space.
import { execFileSync } from 'node:child_process';
import { chownSync, existsSync, mkdirSync, readdirSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { beforeAll, expect, test } from 'vitest';
import { cleanUpLater } from '../support/cleanup.ts';
import { makeSandbox, runCli, type Sandbox } from '../support/cli.ts';
import { createDomain, type TestDomain } from '../support/domains.ts';
import { makeFolder } from '../support/folders.ts';

const NOBODY = 65_534;
let sandbox: Sandbox;
let domain: TestDomain;
let dir = '';

beforeAll(async () => {
  sandbox = await makeSandbox();
  domain = await createDomain();
  dir = await makeFolder('vp-test-places');
  writeFileSync(join(dir, 'file'), '');
  for (const name of ['open', 'foreign', 'full', 'shut']) mkdirSync(join(dir, name));
  execFileSync('chmod', ['777', join(dir, 'open')]);
  chownSync(join(dir, 'foreign'), NOBODY, NOBODY);
  mkdirSync(join(dir, 'shut/work'));
  writeFileSync(join(dir, 'shut/something'), '');
  execFileSync('chmod', ['700', join(dir, 'shut')]);
  mkdirSync(join(dir, 'closed'), { mode: 0o700 });
  const full = join(dir, 'full');
  execFileSync('mount', ['-t', 'tmpfs', '-o', 'size=64k,mode=711', 'tmpfs', full]);
  cleanUpLater(sandbox, async () => void execFileSync('umount', [full]));
});

function snapshot(...flags: string[]) {
  return runCli(['snapshot', domain.name, '-q', ...flags], { sandbox });
}

test.each([
  ['file', 32, /cannot create the folder .*file|\/file is no directory/],
  ['file/below', 32, /cannot create the folder .*: .*\/file is no directory/],
  ['open', 32, /other users may change the content of .*open\nhint: chmod go-w .*open, or choose/],
  ['foreign', 32, /the folder .* belongs to another user \(uid 65534\)/],
  ['shut/work', 32, /QEMU \(uid \d+\) cannot traverse .*shut\nhint: run chmod o\+x .*shut/],
  ['full', 31, /too little free space/],
])(
  '`snapshot --dry-run` with the work directory %s prints the plan, ends with exit %d and has a hint',
  async (name, exitCode, message) => {
    const flags = ['--work-dir', join(dir, name)];
    const before = readdirSync(dir, { recursive: true });
    const ran = await snapshot('--dry-run', ...flags);
    expect(ran.stdout).toMatch(/^Mode +live: /m);
    expect(ran.stderr).toMatch(/^virt-publish: the run would fail: /);
    expect(ran.stderr).toMatch(message);
    expect(ran.exitCode).toBe(exitCode);
    expect(readdirSync(dir, { recursive: true })).toEqual(before);
    // It is the same for the run, but where QEMU only finds out by itself.
    const real = await snapshot(...flags);
    expect(real.exitCode).toBe(name === 'shut/work' ? 20 : exitCode);
  },
);

test('`snapshot --dry-run` accepts a directory that a run creates or opens, and creates none', async () => {
  const missing = join(dir, 'new/work');
  expect((await snapshot('--dry-run', '--work-dir', missing)).exitCode).toBe(0);
  expect(existsSync(join(dir, 'new'))).toBe(false);
  const closed = ['--work-dir', join(dir, 'closed')];
  expect((await snapshot('--dry-run', ...closed)).exitCode).toBe(0);
  expect((await snapshot(...closed)).exitCode).toBe(0);
});

test('the state directory is checked too, and JSON has the plan beside the error', async () => {
  const env = { VIRT_PUBLISH_STATE_DIR: join(dir, 'foreign') };
  const args = ['snapshot', domain.name, '--dry-run', '--json', '--mode', 'cold'];
  const ran = await runCli(args, { sandbox, env });
  expect(ran.exitCode).toBe(32);
  expect(ran.events.at(-1)).toMatchObject({
    ...{ type: 'error', code: 'WORK_DIR', plan: { mode: 'cold' } },
  });
});

test('`inspect` reports the same obstacle', async () => {
  const args = ['inspect', domain.name, '--json', '--work-dir', join(dir, 'open')];
  const ran = await runCli(args, { sandbox });
  expect(ran.exitCode).toBe(0);
  expect(ran.events.at(-1)).toMatchObject({
    obstacles: [{ target: null, code: 'WORK_DIR', hint: expect.stringContaining('chmod go-w') }],
  });
});
