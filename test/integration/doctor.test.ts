// `doctor` on the real lab: a finding for each check, and the failures that it must find.
import { chmodSync, mkdirSync, readdirSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { beforeAll, expect, it } from 'vitest';
import { type CliOptions, makeSandbox, runCli, type Sandbox } from '../support/cli.ts';
import { lab } from '../support/lab.ts';
import { createBucket, listKeys, s3Env } from '../support/s3.ts';

interface Finding {
  name: string;
  state: string;
  detail: string;
  hint?: string;
}

let sandbox: Sandbox;
beforeAll(async () => {
  sandbox = await makeSandbox();
});

async function doctor(args: readonly string[], options: Omit<CliOptions, 'sandbox'> = {}) {
  const ran = await runCli(['doctor', ...args, '--json'], { sandbox, ...options });
  const { findings = [] } = ran.events.at(-1) as { findings?: Finding[] };
  const states = Object.fromEntries(findings.map(({ name, state }) => [name, state]));
  const find = (name: string) => findings.find((each) => each.name === name);
  return { exitCode: ran.exitCode, states, find, stderr: ran.stderr };
}

it('`doctor` reports a good host as ok, with a bucket behind a CA of its own, and leaves nothing there', async () => {
  const bucket = await createBucket();
  const { tlsEndpoint, caFile } = lab().s3;
  const server = ['--endpoint', tlsEndpoint, '--ca-file', caFile];
  const place = ['--registry', `s3://${bucket}/golden`, ...server];
  const { exitCode, states, find, stderr } = await doctor(place, { env: s3Env() });
  expect(stderr).toBe('');
  expect(states).toMatchObject({
    ...{ libvirt: 'ok', 'qemu-img': 'ok', 'qemu-img zstd': 'ok', 'qemu-img measure': 'ok' },
    ...{ 'work directory': 'ok', confinement: 'ok', registry: 'ok', 'registry create-only': 'ok' },
    ...{ 'registry presigned': 'ok', clock: 'ok' },
  });
  expect(find('work directory')?.detail).toMatch(/reached and written by QEMU \(uid \d+/);
  expect(exitCode).toBe(0);
  expect(await listKeys(bucket)).toEqual([]);
  expect(readdirSync(join(sandbox.stateDir, 'runs'))).toEqual([]);
});

it('`doctor` prints a table, with a hint below each warning and failure', async () => {
  const ran = await runCli(['doctor', 'no-such-domain'], { sandbox });
  expect(ran.exitCode).toBe(10);
  expect(ran.stdout).toMatch(
    /^ok +libvirt +qemu:\/\/\/system answers: libvirt \d+\.\d+\.\d+, QEMU/,
  );
  expect(ran.stdout).toMatch(/^failure +agent of no-such-domain +no domain "no-such-domain"/m);
  expect(ran.stdout).toMatch(/^ok +clock/m);
});

it('`doctor` finds a work directory that QEMU cannot reach, and names the folder to open', async () => {
  const closed = join(sandbox.dir, 'closed');
  mkdirSync(join(closed, 'work'), { recursive: true });
  chmodSync(closed, 0o700);
  const { exitCode, find } = await doctor(['--work-dir', join(closed, 'work')]);
  expect(find('work directory')).toMatchObject({
    state: 'failure',
    hint: expect.stringContaining(`chmod o+x ${closed}`),
  });
  expect(exitCode).toBe(32);
  chmodSync(closed, 0o711);
  expect((await doctor(['--work-dir', join(closed, 'work')])).states['work directory']).toBe('ok');
});

it('without libvirt, qemu-img or registry `doctor` reports one failure, and checks the rest', async () => {
  const unreachable = await doctor([
    '--connect',
    `qemu+unix:///system?socket=${sandbox.dir}/nowhere`,
  ]);
  expect(unreachable.states).toMatchObject({
    libvirt: 'failure',
    'qemu-img': 'ok',
    registry: 'ok',
  });
  expect(unreachable.exitCode).toBe(13);
  const bare = await doctor([], { env: { PATH: '/nowhere' } });
  expect(bare.states).toMatchObject({ libvirt: 'ok', 'qemu-img': 'failure', registry: 'ok' });
  expect(bare.exitCode).toBe(30);
  const file = join(sandbox.dir, 'file');
  writeFileSync(file, '');
  const lost = await doctor(['--registry', join(file, 'registry')]);
  expect(lost.states).toMatchObject({ libvirt: 'ok', registry: 'failure' });
  expect(lost.find('registry capabilities')).toBeUndefined();
  expect(lost.exitCode).toBe(44);
});

it('a file system within its reserve is a failure', async () => {
  const env = { VIRT_PUBLISH_RESERVE_FRACTION: '1' };
  const { states, exitCode } = await doctor([], { env });
  expect(states['space, work directory']).toBe('failure');
  expect(exitCode).toBe(31);
});
