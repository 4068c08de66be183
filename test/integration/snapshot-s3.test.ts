// `snapshot` into a real bucket: the record has the flags, and other clients can read the image.
import { stat } from 'node:fs/promises';
import { join } from 'node:path';
import { expect, test } from 'vitest';
import { makeSandbox, runCli, startCli } from '../support/cli.ts';
import { createDomain } from '../support/domains.ts';
import { expectWhole, photograph } from '../support/guest-photo.ts';
import { sha256Of } from '../support/judges.ts';
import {
  expectGoodImage,
  expectNoRunLeft,
  expectSoundImage,
  publish,
  pull,
} from '../support/publishing.ts';
import { createBucket, listKeys, listUploads, rclone, s3Env } from '../support/s3.ts';
import { waitFor } from '../support/wait.ts';

test('`snapshot` publishes a running domain to a bucket with name, alias, tag and property', async () => {
  const env = s3Env();
  const bucket = await createBucket();
  const sandbox = await makeSandbox();
  const domain = await createDomain({
    shape: 'qcow2-on-qcow2',
    vncPassword: 'Vnc-5ecr',
    mac: '52:54:00:12:34:56',
    title: 'the title of a host',
  });
  await domain.agent.writeFile('/data/marker', 's3');
  const before = await photograph(domain);
  const ticks = await domain.ticks();
  const registry = ['--registry', `s3://${bucket}/golden`];

  const { id, record } = await publish(
    [
      ...[domain.name, ...registry, '--name', 'web', '--alias', 'web/latest', '--tag', 'nginx'],
      ...['--property', 'os_distro=debian', '--hash', 'md5,sha512'],
    ],
    { sandbox, env },
  );

  await expectWhole(domain, before);
  await expectNoRunLeft(sandbox);
  expect(await listUploads(bucket)).toEqual([]);
  expect(record).toMatchObject({
    name: 'web',
    tags: ['nginx'],
    os_hash_algo: 'sha512',
    min_disk: 1,
  });
  expect(record.checksum).toMatch(/^[0-9a-f]{32}$/);
  expect(record.properties.os_distro).toBe('debian');

  const shown = await runCli(['show', 'web/latest', '--json', ...registry], { sandbox, env });
  expect(shown.stdout).toContain(id);
  const file = await pull('web/latest', 'qcow2', sandbox, { env, args: registry });
  await rclone(
    'copyto',
    `lab:${bucket}/golden/images/${id}/vda.qcow2`,
    join(sandbox.dir, 'rclone'),
  );
  expect(await sha256Of(join(sandbox.dir, 'rclone'))).toBe(await sha256Of(file));
  for (const key of (await listKeys(bucket)).filter((name) => !name.endsWith('.qcow2'))) {
    const text = await rclone('cat', `lab:${bucket}/${key}`);
    for (const secret of ['Vnc-5ecr', '52:54:00:12:34:56', 'title of a host', domain.dir]) {
      expect(text).not.toContain(secret);
    }
  }
  const flags = [domain.name, ...registry, '--compress', 'zstd'];
  const zipped = await publish(flags, { sandbox, env });
  const zippedFile = await pull(zipped.id, 'qcow2', sandbox, { env, args: registry });
  expect((await stat(zippedFile)).size).toBe(zipped.record.size);
  expect(Number(zipped.record.size)).toBeLessThan(Number(record.size));
  await domain.destroy();
  await expectGoodImage(file, 'qcow2', { ticks, marker: 's3' });
  await expectSoundImage(zippedFile, 'qcow2', { ticks, marker: 's3' });

  const removed = await runCli(['delete', id, ...registry, '--force'], { sandbox, env });
  expect(removed.exitCode, removed.stderr).toBe(0);
  const left = (await listKeys(bucket)).filter((key) => key.endsWith('.qcow2'));
  expect(left).toEqual([`golden/images/${zipped.id}/vda.qcow2`]);
});

test('Ctrl-C during the mirror undoes everything and exits 130', async () => {
  const env = s3Env();
  const bucket = await createBucket();
  const sandbox = await makeSandbox();
  const domain = await createDomain({ shape: 'raw', autostart: true });
  const before = await photograph(domain);
  const flags = ['--registry', `s3://${bucket}`, '--bandwidth', '1', '--json'];

  const { child, done } = await startCli(['snapshot', domain.name, ...flags], { sandbox, env });
  await waitFor('the mirror', async () => (await domain.blockJob()) !== null);
  expect(await domain.info('Persistent')).toBe('no');
  child.kill('SIGINT');
  const ran = await done;

  expect(ran.exitCode).toBe(130);
  expect(ran.events.at(-1)).toMatchObject({ type: 'error', code: 'INTERRUPTED' });
  await expectWhole(domain, before);
  await expectNoRunLeft(sandbox);
  expect(await listUploads(bucket)).toEqual([]);
  const listed = await runCli(['list', '--json', '--registry', `s3://${bucket}`], { sandbox, env });
  expect(listed.stdout).not.toContain('"status":"active"');
});

test('a second run on a domain gets an error that names the first', async () => {
  const sandbox = await makeSandbox();
  const domain = await createDomain({ shape: 'raw' });
  const before = await photograph(domain);
  const first = await startCli(['snapshot', domain.name, '--bandwidth', '1'], { sandbox });
  await waitFor('the mirror', async () => (await domain.blockJob()) !== null);

  const second = await runCli(['snapshot', domain.name], { sandbox });

  expect(second.exitCode).toBe(11);
  expect(second.stderr).toContain(`process ${first.child.pid}`);
  first.child.kill('SIGTERM');
  expect((await first.done).exitCode).toBe(130);
  await expectWhole(domain, before);
});

test('`--dry-run` shows the plan, and changes nothing', async () => {
  const sandbox = await makeSandbox();
  const domain = await createDomain({ shape: 'chain3', autostart: true });
  const before = await photograph(domain);

  const ran = await runCli(['snapshot', domain.name, '--dry-run', '--json'], { sandbox });

  expect(ran.exitCode, ran.stderr).toBe(0);
  expect(ran.events.at(-1)).toMatchObject({
    plan: {
      mode: 'live',
      method: 'rebase',
      disk: { target: 'vda', format: 'qcow2' },
      backingChain: [{ format: 'qcow2' }, { format: 'raw' }],
    },
  });
  await expectWhole(domain, before);
  await expectNoRunLeft(sandbox);
  const text = await runCli(['snapshot', domain.name, '--dry-run'], { sandbox });
  expect(text.stdout).toContain('live');
  expect(text.stdout).toContain('vda');
});
