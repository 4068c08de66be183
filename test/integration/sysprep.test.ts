// `--sysprep`: virt-sysprep seals the run's own image between its checks, and no incomplete seal is published.
// NOTE: a small program stands for the real one, whose appliance takes longer to boot than all of
// this. It takes the real one's arguments, and really changes the image, through qemu-io.
import { chmod, readdir, readFile, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { afterAll, beforeAll, expect, test } from 'vitest';
import { imagesIn } from '../faults/whole.ts';
import { makeSandbox, runCli, type Sandbox, startCli } from '../support/cli.ts';
import { createDomain, type TestDomain } from '../support/domains.ts';
import { must, run } from '../support/exec.ts';
import { makeFolder } from '../support/folders.ts';
import { expectWhole, type GuestPhoto, photograph } from '../support/guest-photo.ts';
import { imageCheck, sha256Of } from '../support/judges.ts';
import { expectNoRunLeft, failToPublish, publish, pull } from '../support/publishing.ts';
import { createBucket, s3Env } from '../support/s3.ts';
import { waitFor } from '../support/wait.ts';

const OFFSET = '40M';

let domain: TestDomain;
let before: GuestPhoto;
let disk: string;
let sandbox: Sandbox;

beforeAll(async () => {
  sandbox = await makeSandbox();
  domain = await createDomain({ shape: 'qcow2', state: 'off' });
  before = await photograph(domain);
  disk = await sha256Of(domain.diskPath());
});
afterAll(() => domain.destroy());

/** A PATH with that program; `last` is what it does once the image is changed. */
async function withSysprep(last: string): Promise<{ env: { PATH: string }; log: string }> {
  const folder = await makeFolder('vp-test-bin');
  const log = join(folder, 'log');
  const script = `#!/bin/sh
echo "$LIBGUESTFS_BACKEND $*" >>${log}
case "$*" in
*-nonsense*) echo 'virt-sysprep: error: --operations: nonsense is not a known operation' >&2; exit 1 ;;
*--list-operations) exit 0 ;;
esac
qemu-io -f "$2" -c 'write -P 0x5e ${OFFSET} 64k' "$4" >/dev/null || exit 1
${last}
`;
  await writeFile(join(folder, 'virt-sysprep'), script);
  await chmod(join(folder, 'virt-sysprep'), 0o755);
  return { env: { PATH: `${folder}:${process.env.PATH}` }, log };
}

async function expectUntouched(): Promise<void> {
  await expectWhole(domain, before);
  expect(await sha256Of(domain.diskPath())).toBe(disk);
}

test('`--sysprep` seals the image between its checks and the upload, records it, and keeps the disk', async () => {
  const { env, log } = await withSysprep('exit 0');
  const list = 'defaults,-ssh-userdir';
  const bucket = await createBucket();
  const options = { sandbox, env: { ...s3Env(), ...env } };
  const flags = ['--registry', `s3://${bucket}/gold`, '--sysprep-operations', list];
  const planned = await runCli(['snapshot', domain.name, '--dry-run', ...flags], options);
  expect(planned.stdout).toContain(`by virt-sysprep: ${list}`);

  const { id, record, events } = await publish([domain.name, ...flags], options);

  expect(record.properties.sysprep_operations).toBe(list);
  const steps = events.filter(({ state }) => state === 'done').map(({ step }) => step);
  expect(steps.slice(steps.indexOf('convert'), steps.indexOf('upload') + 1)).toEqual([
    ...['convert', 'check', 'sysprep', 'check', 'upload'],
  ]);
  const [, , sealing = ''] = (await readFile(log, 'utf8')).split('\n');
  expect(sealing).toMatch(/^direct --format qcow2 -a \/.*\/vda\.qcow2 --operations defaults,-ssh-/);
  const file = await pull(id, 'qcow2', sandbox, { env: options.env, args: flags.slice(0, 2) });
  await must('qemu-io', ['-r', '-f', 'qcow2', '-c', `read -P 0x5e ${OFFSET} 64k`, file]);
  expect((await imageCheck(file, 'qcow2')).exitCode).toBe(0);
  await expectUntouched();
});

test('`--sysprep` is rejected first if virt-sysprep or an operation is missing', async () => {
  const tools = await makeFolder('vp-test-bin');
  const { env } = await withSysprep('exit 0');
  const missing = await failToPublish([domain.name, '--sysprep'], {
    sandbox,
    env: { PATH: tools },
  });
  expect(missing).toMatchObject({ exitCode: 33, code: 'SYSPREP' });
  expect(missing.message).toContain('install guestfs-tools');
  const flags = ['--sysprep-operations', 'defaults,-nonsense'];
  const unknown = await failToPublish([domain.name, ...flags], { sandbox, env });
  expect(unknown).toMatchObject({ exitCode: 2, code: 'USAGE' });
  expect(unknown.message).toContain('nonsense is not a known operation');
  const format = await failToPublish([domain.name, '--sysprep', '--format', 'vdi'], { sandbox });
  expect(format).toMatchObject({ exitCode: 2, code: 'USAGE' });
  expect(await imagesIn(sandbox)).toEqual([]);
  await expectNoRunLeft(sandbox);
});

test('a run publishes nothing if virt-sysprep fails, damages the image or takes too long', async () => {
  const home = await makeSandbox();
  const fail = await withSysprep(
    "echo 'virt-sysprep: error: no operating systems were found' >&2; exit 1",
  );
  const failed = await failToPublish([domain.name, '--sysprep'], { sandbox: home, env: fail.env });
  expect(failed).toMatchObject({ exitCode: 33, code: 'SYSPREP' });
  expect(failed.message).toContain('no operating systems were found');
  const spoil = await withSysprep(
    'printf "%16s" >"$4.x"; dd if="$4.x" of="$4" bs=1 seek=65536 conv=notrunc 2>&1',
  );
  const spoilt = await failToPublish([domain.name, '--sysprep'], { sandbox: home, env: spoil.env });
  expect(spoilt.message).toMatch(/qemu-img check/);
  const slow = await withSysprep('exec sleep 60');
  const env = { ...slow.env, VIRT_PUBLISH_TIMEOUTS_SYSPREP_MS: '500' };
  const late = await failToPublish([domain.name, '--sysprep'], { sandbox: home, env });
  expect(late).toMatchObject({ code: 'SYSPREP' });
  expect(late.message).toContain('timeouts.sysprepMs');
  const images = await imagesIn(home);
  expect(images.map(({ status }) => status)).toEqual(['killed', 'killed', 'killed']);
  await expectNoRunLeft(home);
  await expectUntouched();
});

test('`recover --resume` publishes nothing of a run killed during virt-sysprep, and ends that program', async () => {
  const home = await makeSandbox();
  const { env } = await withSysprep(': >"$LIBGUESTFS_TMPDIR/half"; while :; do sleep 0.1; done');
  const { child, done } = await startCli(['snapshot', domain.name, '--sysprep'], {
    sandbox: home,
    env,
  });
  const runs = join(home.stateDir, 'runs');
  const isHalf = async () =>
    (await readdir(runs, { recursive: true }).catch(() => [])).some((name) =>
      name.endsWith('/half'),
    );
  await waitFor('the sealing', isHalf, { timeoutMs: 60_000 });
  child.kill('SIGKILL');
  await done;
  const ran = await runCli(['recover', '--resume', '--json'], { sandbox: home });
  expect(ran.events.at(-1)).toMatchObject({ runs: [{ outcome: 'recovered', image: 'killed' }] });
  const sealing = ['-f', '--', `virt-sysprep --format .*${home.dir}`];
  expect((await run('pgrep', sealing)).stdout).toBe('');
  await expectNoRunLeft(home);
  await expectUntouched();
});
