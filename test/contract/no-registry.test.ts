// A place that is no registry: readers say so, runs make one of it and say that, and a mistyped one is none.
import { randomBytes } from 'node:crypto';
import { existsSync } from 'node:fs';
import { mkdir, readdir, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { PutObjectCommand } from '@aws-sdk/client-s3';
import { beforeEach, describe, expect, test } from 'vitest';
import { openRegistry } from '#built/registry/registry.js';
import { type CliOptions, makeSandbox, runCli } from '../support/cli.ts';
import { createBucket, listKeys, s3Client, s3Env } from '../support/s3.ts';
import { bucketPlace, scratchFolder } from './places.ts';

const ID = '4c1d0a2b-0000-4000-8000-000000000000';
const READERS = [
  ...['list', `show ${ID}`, `pull ${ID} -`, `url ${ID}`, 'sums', 'verify --all', 'gc --delete'],
  ...[`verify ${ID}`, 'prune --keep-last 1', `update ${ID} --name x`, `delete ${ID} --force`],
  ...[`deactivate ${ID}`, `reactivate ${ID}`, 'alias list', `alias set a ${ID}`, 'alias rm a'],
  ...['alias log a', 'alias rollback a', `copy ${ID} --to /tmp`],
];

let folder: string;
let image: string;
beforeEach(async () => {
  folder = await scratchFolder();
  image = join(folder, 'image.raw');
  await writeFile(image, randomBytes(100_000));
});

/** The folder of a test itself, where a mistyped registry would turn up. */
async function runIn(options: CliOptions = {}) {
  const sandbox = await makeSandbox();
  const run = (...args: string[]) => runCli(args, { sandbox, ...options });
  return { run, made: async () => (await readdir(sandbox.dir)).sort(), sandbox };
}

test.each(['s3:/bucket', 's3:bucket', 'S3:/bucket/x', '~/reg', 'gs://b/x', 'http://h/x'])(
  '--registry %s is refused by every kind of command, and makes nothing',
  async (url) => {
    const { run, made } = await runIn();
    const before = await made();
    for (const command of [['list'], ['import', image, '--name', 'x'], ['gc']]) {
      const { exitCode, stderr } = await run(...command, '--registry', url);
      expect(exitCode, stderr).toBe(2);
      expect(stderr).toMatch(/cannot be used\nhint: .*(write|only)/);
    }
    expect(await made()).toEqual(before);
  },
);

describe.each(['directory', 'empty directory', 'S3'])('%s', (kind) => {
  let url: string;
  let env: Record<string, string>;
  let left: () => Promise<string[]>;
  beforeEach(async () => {
    env = kind === 'S3' ? s3Env() : {};
    if (kind === 'S3') {
      const bucket = await createBucket();
      url = `s3://${bucket}/mistyped`;
      await s3Client().send(new PutObjectCommand({ Bucket: bucket, Key: 'other', Body: 'x' }));
      left = async () => (await listKeys(bucket)).filter((key) => key !== 'other');
    } else {
      url = join(folder, 'registry');
      if (kind === 'empty directory') await mkdir(url);
      left = async () => (existsSync(url) ? readdir(url) : []);
    }
  });

  test('every command that reads or changes images exits with 44, and creates nothing', async () => {
    const { run } = await runIn({ env });
    for (const command of READERS) {
      const { exitCode, stderr, stdout } = await run(...command.split(' '), '--registry', url);
      expect({ exitCode, stdout }, command).toEqual({ exitCode: 44, stdout: '' });
      expect(stderr, command).toContain(`there is no registry at ${url}`);
    }
    expect(await left()).toEqual([]);
    expect(existsSync(url)).toBe(kind === 'empty directory');
  });

  test('the first `import` creates the registry and reports it once', async () => {
    const { run } = await runIn({ env });
    const first = await run('import', image, '--name', 'x', '--registry', url);
    expect(first.exitCode, first.stderr).toBe(0);
    expect(first.stderr).toContain(`registry ${url}\n`);
    expect(first.stderr).toContain(`made a new registry at ${url}`);
    const second = await run('import', image, '--name', 'x', '--registry', url, '--json');
    expect(second.stdout).not.toContain('made a new registry');
    expect(second.events).toContainEqual(
      expect.objectContaining({ type: 'registry', registry: url, writes: true }),
    );
    expect(second.events.at(-1)).toMatchObject({ type: 'result', registry: url });
    const listed = await run('list', '--json', '--registry', url);
    expect(JSON.parse(listed.stdout)).toMatchObject({ registry: url, images: [{}, {}] });
    const copy = join(folder, 'copy');
    const copied = await run('copy', first.stdout.trim(), '--to', copy, '--registry', url);
    expect(copied.stderr).toContain(`made a new registry at ${copy}`);
    for (const { id } of JSON.parse(listed.stdout).images)
      expect((await run('delete', id, '--registry', url)).exitCode).toBe(0);
    expect((await run('list', '--registry', url)).exitCode).toBe(0);
  });

  test('`checkAccess` creates nothing', async () => {
    await (
      await openRegistry(url, kind === 'S3' ? (await bucketPlace()).options : {})
    ).checkAccess();
    expect(await left()).toEqual([]);
  });
});

test('a directory below a missing one is an error before the image is sent', async () => {
  const { run } = await runIn();
  const url = join(folder, 'missing', 'registry');
  for (const command of [['import', image, '--name', 'x'], ['list']]) {
    const { exitCode, stderr } = await run(...command, '--registry', url);
    expect(exitCode, stderr).toBe(44);
  }
  const { stderr } = await run('import', image, '--name', 'x', '--registry', url);
  expect(stderr).toContain(`the directory ${join(folder, 'missing')} is missing`);
  expect(existsSync(join(folder, 'missing'))).toBe(false);
});

test('an empty bucket is an empty registry, which is reported', async () => {
  const { run } = await runIn({ env: s3Env() });
  const listed = await run('list', '--quiet', '--registry', `s3://${await createBucket()}/any`);
  expect(listed.exitCode, listed.stderr).toBe(0);
  expect(listed.stderr).toContain('its bucket is empty');
});

test('the default registry is empty until the first image creates it', async () => {
  const { run, sandbox } = await runIn();
  const url = join(sandbox.stateDir, 'registry');
  const listed = await run('list', '--json');
  expect(listed.exitCode, listed.stdout).toBe(0);
  expect(JSON.parse(listed.stdout)).toMatchObject({ registry: url, images: [] });
  expect((await run('show', ID)).exitCode).toBe(40);
  expect(existsSync(url)).toBe(false);
  const deep = { VIRT_PUBLISH_STATE_DIR: join(sandbox.dir, 'not', 'there', 'yet') };
  const made = await runCli(['import', image, '--name', 'x'], { sandbox, env: deep });
  expect(made.exitCode, made.stderr).toBe(0);
});
