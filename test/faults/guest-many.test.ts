// Concurrent runs, and secrets that no output may contain.
import { readdir, readFile } from 'node:fs/promises';
import { join } from 'node:path';
import { expect, test } from 'vitest';
import { makeSandbox, runCli, startCli } from '../support/cli.ts';
import { createDomain } from '../support/domains.ts';
import { expectWhole, type GuestPhoto, photograph } from '../support/guest-photo.ts';
import { createBucket, listKeys, rclone, s3Env } from '../support/s3.ts';
import { expectNothingLeft, imagesIn } from './whole.ts';

const DOMAINS = 5;

test('of ten concurrent snapshots, two for each of five domains, five succeed and five find the domain busy', async () => {
  const sandbox = await makeSandbox();
  const domains = [];
  for (let made = 0; made < DOMAINS; made += 1) {
    const options = { shape: 'qcow2-on-raw', autostart: true } as const;
    domains.push(await createDomain(options));
  }
  const before = await Promise.all(domains.map(photograph));
  const ran = await Promise.all(
    domains.flatMap(({ name }) =>
      // Slow enough that the second run starts while the first one works.
      [0, 1].map(() => runCli(['snapshot', name, '--bandwidth', '1', '--json'], { sandbox })),
    ),
  );
  const codes = ran.map(({ exitCode }) => exitCode).sort();
  expect(codes, ran.map(({ stdout }) => stdout.slice(-300)).join('\n')).toEqual([
    ...Array(DOMAINS).fill(0),
    ...Array(DOMAINS).fill(11),
  ]);
  const whole = domains.map((domain, index) => expectWhole(domain, before[index] as GuestPhoto));
  await Promise.all(whole);
  await expectNothingLeft(sandbox);
  expect((await imagesIn(sandbox)).map(({ status }) => status)).toEqual(
    Array(DOMAINS).fill('active'),
  );
  await Promise.all(domains.map((domain) => domain.destroy()));
}, 300_000);

test('no output, log, journal, record or error contains a secret', async () => {
  const vnc = 'Vnc5ecrt';
  const planted = 'planted-environment-5ecret';
  const sandbox = await makeSandbox();
  const domain = await createDomain({ shape: 'qcow2', vncPassword: vnc });
  const bucket = await createBucket();
  const s3 = s3Env();
  const env = { ...s3, SOME_TOKEN: planted };
  const secrets = [vnc, planted, s3.AWS_SECRET_ACCESS_KEY ?? ''];
  const log = join(sandbox.dir, 'run.log');
  const args = ['snapshot', domain.name, '--registry', `s3://${bucket}`];
  const logged = [...args, '--verbose', '--log-file', log];

  const said: string[] = [];
  const keep = ({ stdout, stderr }: { stdout: string; stderr: string }) =>
    said.push(stdout, stderr);
  keep(await runCli([...logged], { sandbox, env }));
  keep(await runCli([...logged, '--json'], { sandbox, env }));
  keep(await runCli([...logged, '--dry-run'], { sandbox, env }));
  const wrong = { ...env, AWS_SECRET_ACCESS_KEY: 'another-5ecret-key' };
  keep(await runCli(logged, { sandbox, env: wrong }));
  const dies = { ...env, VIRT_PUBLISH_TEST_AT: 'done:freeze=SIGKILL,guard' };
  keep(await (await startCli(logged, { sandbox, env: dies })).done);
  const [run = ''] = await readdir(join(sandbox.stateDir, 'runs'));
  said.push(await readFile(join(sandbox.stateDir, 'runs', run, 'journal.ndjson'), 'utf8'));
  // The only intended place of the password, with mode 0600.
  const xml = await readFile(join(sandbox.stateDir, 'runs', run, 'domain.xml'), 'utf8');
  expect(xml).toContain(vnc);
  keep(await runCli(['status', '--json'], { sandbox, env }));
  keep(await runCli(['recover', '--json', '--verbose', '--log-file', log], { sandbox, env }));
  said.push(await readFile(log, 'utf8'));
  for (const key of await listKeys(bucket)) {
    if (key.endsWith('.json') || key.endsWith('.xml')) {
      said.push(await rclone('cat', `lab:${bucket}/${key}`));
    }
  }
  expect(said.join('').length).toBeGreaterThan(10_000);
  expect(await readFile(log, 'utf8')).toContain('journal: done freeze');
  for (const secret of [...secrets, 'another-5ecret-key']) {
    expect(secret.length).toBeGreaterThan(6);
    expect(said.filter((text) => text.includes(secret))).toEqual([]);
  }
  await domain.destroy();
});
