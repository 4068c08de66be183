// What npm packs and installs globally is the whole product: it publishes a running domain.
import { mkdir, readFile } from 'node:fs/promises';
import { join } from 'node:path';
import { expect, test } from 'vitest';
import { makeSandbox } from '../support/cli.ts';
import { createDomain } from '../support/domains.ts';
import { must } from '../support/exec.ts';
import { expectWhole, photograph } from '../support/guest-photo.ts';

const root = new URL('../..', import.meta.url).pathname;
const tracer = new URL('../support/loaded-files.mjs', import.meta.url).href;

test('npm pack and a global install give a command that works', async () => {
  const { dir, env } = await makeSandbox();
  const prefix = join(dir, 'global');
  await mkdir(prefix);
  const quiet = ['--silent', '--no-audit', '--no-fund'];
  // NOTE: what is packed is the `dist` that is tested here; prepack would build it again under the
  // feet of the other tests.
  const packing = ['pack', '--ignore-scripts', '--pack-destination', dir, ...quiet, root];
  const name = (await must('npm', packing, { timeoutMs: 120_000 })).trim();
  const installing = ['install', '--global', '--prefix', prefix, ...quiet, join(dir, name)];
  await must('npm', installing, { timeoutMs: 170_000 });
  const command = join(prefix, 'bin/virt-publish');
  const loaded = join(dir, 'loaded');
  const tracing = { NODE_OPTIONS: `--import ${tracer}`, LOADED_FILES: loaded };
  const run = (...args: string[]) =>
    must(command, args, { env: { ...process.env, ...env, ...tracing }, timeoutMs: 60_000 });

  expect(await run('--version')).toMatch(/^\d+\.\d+\.\d+\n$/);
  expect(await run('explain', 'guest')).toContain('# guest');
  expect(await run('completion', 'bash')).toContain('complete -F');
  const page = join(prefix, 'share/man/man1/virt-publish-snapshot.1');
  expect(await must('man', ['-l', page])).toContain('SYNOPSIS');
  const domain = await createDomain();
  const before = await photograph(domain);
  const id = (await run('snapshot', domain.name, '--quiet')).trim();
  const files = (await readFile(loaded, 'utf8')).split('\n');
  expect(files.some((file) => file.endsWith('/dist/run/guard-main.js'))).toBe(true);
  // What is bundled is not loaded from its package, nor is a bucket's client for a directory.
  expect(
    files.filter((file) => /s3-client|node_modules\/(execa|fast-xml|@aws)/.test(file)),
  ).toEqual([]);
  expect(await run('list', '--json')).toContain(id);
  await expectWhole(domain, before);
});
