// `recover` from the journal alone: after a power cut, for a vanished domain, and with --resume.
import { readdir, readFile, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { expect, test } from 'vitest';
import { makeSandbox, runCli, type Sandbox, startCli } from '../support/cli.ts';
import { createDomain, type TestDomain } from '../support/domains.ts';
import { expectWhole, type GuestPhoto, photograph } from '../support/guest-photo.ts';
import { expectGoodImage, pull } from '../support/publishing.ts';
import { createBucket, listKeys, listUploads, s3Env } from '../support/s3.ts';
import { expectNothingLeft, imagesIn } from './whole.ts';

interface Dead {
  domain: TestDomain;
  before: GuestPhoto;
  sandbox: Sandbox;
}

/** Every test restores it, running or off. */
let shared: TestDomain | undefined;

/** A run that died, with its guard, at this point. */
async function dieAt(
  point: string,
  args: readonly string[] = [],
  env: Record<string, string> = {},
): Promise<Dead> {
  const sandbox = await makeSandbox();
  shared ??= await createDomain({ autostart: true });
  const domain = shared;
  if ((await domain.state()) === 'shut off') {
    await domain.virsh('start');
    await domain.waitUntilUp();
  }
  const before = await photograph(domain);
  await kill(domain, sandbox, point, args, env);
  return { domain, before, sandbox };
}

async function kill(
  domain: TestDomain,
  sandbox: Sandbox,
  point: string,
  args: readonly string[],
  env: Record<string, string> = {},
): Promise<void> {
  const hook = { ...env, VIRT_PUBLISH_TEST_AT: `${point}=SIGKILL,guard` };
  const { done } = await startCli(['snapshot', domain.name, ...args], { sandbox, env: hook });
  expect((await done).exitCode).toBeNull();
}

async function recover(sandbox: Sandbox, ...args: string[]) {
  const ran = await runCli(['recover', '--json', ...args], { sandbox });
  expect(ran.exitCode, ran.stdout + ran.stderr).toBe(0);
  return ran;
}

/** Simulates a power cut: the journal has another boot id, and the domain is missing. */
async function otherBoot({ sandbox, domain }: Dead): Promise<void> {
  const [run = ''] = await readdir(join(sandbox.stateDir, 'runs'));
  const path = join(sandbox.stateDir, 'runs', run, 'journal.ndjson');
  const text = await readFile(path, 'utf8');
  await writeFile(path, text.replace(/"bootId":"[^"]*"/, '"bootId":"another"'));
  await domain.tryVirsh('destroy');
}

test('`status` shows a dead run, `recover` recovers it, and a second `recover` does nothing', async () => {
  const { domain, before, sandbox } = await dieAt('done:freeze');
  const reported = await runCli(['status', '--json'], { sandbox });
  expect(reported.events.at(-1)).toMatchObject({
    runs: [
      {
        state: 'dead',
        last: 'freeze done',
        pendingUndo: ['undefine', 'mirror', 'agent limit', 'freeze'],
        domain: { name: domain.name },
        resumable: false,
      },
    ],
  });
  // A `recover` that dies leaves the rest to the next one.
  const env = { VIRT_PUBLISH_TEST_AT: 'undone:mirror=SIGKILL' };
  expect((await runCli(['recover'], { sandbox, env })).exitCode).toBeNull();
  const less = await runCli(['status'], { sandbox });
  expect(less.stdout).toContain('guest (undefine), files');
  await recover(sandbox, domain.name);
  await expectWhole(domain, before);
  await expectNothingLeft(sandbox);
  expect((await recover(sandbox)).events.at(-1)).toMatchObject({ runs: [] });
  const [image] = await imagesIn(sandbox);
  expect(image).toMatchObject({ status: 'killed' });
  expect(image?.status_reason).toContain('freeze done');
});

test('`recover DOMAIN` does not touch runs of other domains', async () => {
  const { domain, sandbox } = await dieAt('done:undefine');
  await recover(sandbox, 'another-domain');
  expect(await domain.info('Persistent')).toBe('no');
  await recover(sandbox);
  expect(await domain.info('Persistent')).toBe('yes');
});

test('`recover` defines a domain whose guest was switched off, leaves it off, and reports it', async () => {
  const { domain, before, sandbox } = await dieAt('done:mirror');
  await domain.tryVirsh('destroy');
  const ran = await recover(sandbox);
  expect(ran.stdout).toContain('was switched off while it was undefined');
  await expectWhole(domain, { ...before, state: 'shut off' });
  await expectNothingLeft(sandbox);
});

test('`recover` after a power cut defines and starts a domain with autostart', async () => {
  const dead = await dieAt('done:mirror');
  await otherBoot(dead);
  const ran = await recover(dead.sandbox);
  expect(ran.stdout).toContain('the host was restarted');
  await dead.domain.waitUntilUp();
  await expectWhole(dead.domain, dead.before);
  await expectNothingLeft(dead.sandbox);
});

test('`recover` after a power cut during a managed save starts the guest from it', async () => {
  const dead = await dieAt('done:save', ['--mode', 'cold']);
  await otherBoot(dead);
  await recover(dead.sandbox);
  await expectWhole(dead.domain, dead.before);
  await expectNothingLeft(dead.sandbox);
});

test('`snapshot` first recovers a dead run of its domain, also if the domain vanished', async () => {
  const { domain, before, sandbox } = await dieAt('done:mirror');
  await domain.tryVirsh('destroy');
  const ran = await runCli(['snapshot', domain.name, '--json'], { sandbox });
  expect(ran.exitCode, ran.stdout).toBe(0);
  expect(ran.stdout).toContain('had crashed');
  await expectWhole(domain, { ...before, state: 'shut off' });
  await expectNothingLeft(sandbox);
  const images = await imagesIn(sandbox);
  expect(images.map(({ status }) => status).sort()).toEqual(['active', 'killed']);
});

test.each(['point:image', 'point:uploaded'])(
  '`recover --resume` publishes a run that died at %s',
  async (point) => {
    const sandbox = await makeSandbox();
    const domain = await createDomain();
    const older = await runCli(['snapshot', domain.name, '--name', 'web'], { sandbox });
    expect(older.exitCode, older.stderr).toBe(0);
    await domain.agent.writeFile('/data/marker', 'resumed');
    const ticks = await domain.ticks();
    const options = ['--alias', 'web/latest', '--property', 'os_distro=tiny'];
    await kill(domain, sandbox, point, [...options, '--name', 'web', '--keep', '1']);
    const ran = await recover(sandbox, '--resume');
    expect(ran.events.at(-1)).toMatchObject({ runs: [{ outcome: 'published', image: 'active' }] });
    const images = await imagesIn(sandbox);
    expect(images.find(({ id }) => id === older.stdout.trim())?.status).toBe('deleted');
    const image = images.find(({ status }) => status === 'active');
    expect(image?.properties).toMatchObject({ os_distro: 'tiny', snapshot_mode: 'live' });
    await domain.destroy();
    const file = await pull('web/latest', 'qcow2', sandbox);
    await expectGoodImage(file, 'qcow2', { ticks, marker: 'resumed' });
  },
);

test('`recover` keeps an image that is active, and reports or moves its alias', async () => {
  const { domain, sandbox } = await dieAt('point:active', ['--alias', 'web/latest']);
  const ran = await recover(sandbox);
  expect(ran.stdout).toContain('alias web/latest does not point to it');
  const [image] = await imagesIn(sandbox);
  expect(image?.status).toBe('active');
  await expectNothingLeft(sandbox);
  await kill(domain, sandbox, 'point:active', ['--alias', 'web/next']);
  await recover(sandbox, '--resume');
  const shown = await runCli(['show', 'web/next', '--json'], { sandbox });
  expect(shown.exitCode, shown.stdout).toBe(0);
});

test('`recover` sets an incomplete image to killed, with and without --resume', async () => {
  const { sandbox } = await dieAt('point:captured');
  await recover(sandbox, '--resume');
  expect((await imagesIn(sandbox)).map(({ status }) => status)).toEqual(['killed']);
  await expectNothingLeft(sandbox);
});

test('`recover --resume` does not trust an image file after a power cut', async () => {
  const dead = await dieAt('point:image');
  await otherBoot(dead);
  await recover(dead.sandbox, '--resume');
  expect((await imagesIn(dead.sandbox)).map(({ status }) => status)).toEqual(['killed']);
});

test.each(['done:mirror', 'point:image', 'point:uploaded'])(
  '`recover` of a run that died at %s leaves only the record in the bucket, and no upload',
  async (point) => {
    const bucket = await createBucket();
    const env = s3Env();
    const flags = [
      '--registry',
      `s3://${bucket}/gold`,
      '--endpoint',
      env.AWS_ENDPOINT_URL_S3 ?? '',
    ];
    const { AWS_ENDPOINT_URL_S3: _, ...keys } = env;
    const { domain, before, sandbox } = await dieAt(point, flags, keys);
    // The endpoint comes from the journal; the keys, which are not in it, from the environment.
    const ran = await runCli(['recover', '--json'], { sandbox, env: keys });
    expect(ran.exitCode, ran.stdout).toBe(0);
    await expectWhole(domain, before);
    expect((await listKeys(bucket)).filter((key) => !key.includes('/record/'))).toEqual([]);
    expect(await listUploads(bucket)).toEqual([]);
  },
);

test('`recover` restores the guest if the registry is unreachable, and keeps the run', async () => {
  const bucket = await createBucket();
  const env = s3Env();
  const { domain, before, sandbox } = await dieAt(
    'done:mirror',
    ['--registry', `s3://${bucket}`],
    env,
  );
  const dark = {
    ...env,
    AWS_ENDPOINT_URL_S3: 'http://127.0.0.1:9',
    VIRT_PUBLISH_UPLOAD_RETRIES: '0',
  };
  const failed = await runCli(['recover', '--json'], { sandbox, env: dark });
  expect(failed.exitCode).toBe(44);
  await expectWhole(domain, before);
  const ran = await runCli(['recover', '--json'], { sandbox, env });
  expect(ran.exitCode, ran.stdout).toBe(0);
  await expectNothingLeft(sandbox);
});
