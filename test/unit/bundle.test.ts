// The bundle in `dist`: few files to open, no packages but the native ones, nothing that a command does not need.
import { execFile } from 'node:child_process';
import { mkdtemp, readdir, readFile, rm } from 'node:fs/promises';
import { isBuiltin } from 'node:module';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { expect, it } from 'vitest';

const root = new URL('../../', import.meta.url).pathname;
const tracer = new URL('../support/loaded-files.mjs', import.meta.url).href;
const NATIVE = ['@node-rs/crc32', 'koffi'];
const S3_CLIENT = /\bclass S3Client\b|\bS3Client = class\b/;

const names = await readdir(`${root}dist`, { recursive: true });
const files = names.filter((name) => name.endsWith('.js'));
const textOf = (name: string) => readFile(`${root}dist/${name}`, 'utf8');

it('the bundle imports only its own files, Node and the native packages', async () => {
  const all = await Promise.all(files.map(textOf));
  const imported = all.flatMap((text) =>
    [...text.matchAll(/^(?:import|export)\b[^'"\n]*?(?:from )?"([^"]+)";?$/gm)].map(
      ([, from = '']) => from,
    ),
  );
  const foreign = new Set(imported.filter((from) => !from.startsWith('.') && !isBuiltin(from)));
  expect([...foreign].sort()).toEqual(NATIVE);
});

it('the bundle is one folder deep, so that the URLs of its threads and of the configuration resolve', () => {
  expect(files.filter((name) => name.split('/').length !== 2)).toEqual([]);
});

it('`virt-publish` checks the version of Node before it imports anything', async () => {
  expect(await textOf('cli/main.js')).not.toMatch(/^import\b/m);
});

it('the bundle has no trace of the test hook', async () => {
  const texts = await Promise.all(files.map(textOf));
  const found = files.filter((_, index) => /TEST_AT|test hook|test-hook/i.test(texts[index] ?? ''));
  expect(found).toEqual([]);
});

it('the bundle names the licence of each package in it', async () => {
  const { dependencies } = JSON.parse(await readFile(`${root}package.json`, 'utf8'));
  const notices = await readFile(`${root}dist/THIRD-PARTY.txt`, 'utf8');
  for (const name of Object.keys(dependencies))
    expect(notices.includes(`\n${name} `), name).toBe(!NATIVE.includes(name));
});

it('`--help` and `snapshot` into a directory open few files, and none of the S3 client', async () => {
  expect((await load('--help')).length).toBeLessThanOrEqual(15);

  // Up to the connection, which no such URI gets.
  const loaded = await load('snapshot', 'web01', '--connect', 'test:///default');
  expect(loaded).toContain(`${root}dist/cli/main.js`);
  expect(loaded.length).toBeLessThanOrEqual(75);
  const texts = await Promise.all(loaded.map((file) => readFile(file, 'utf8')));
  expect(texts.some((text) => text.includes('async function createSnapshot'))).toBe(true);
  expect(texts.some((text) => S3_CLIENT.test(text))).toBe(false);
  const shipped = await Promise.all(files.map(textOf));
  expect(shipped.some((text) => S3_CLIENT.test(text))).toBe(true);
});

/** The files that Node loads for a command, whatever its end. */
async function load(...args: string[]): Promise<string[]> {
  const dir = await mkdtemp(join(tmpdir(), 'virt-publish-load-'));
  const list = join(dir, 'loaded');
  const env = {
    ...process.env,
    NODE_OPTIONS: `--import ${tracer}`,
    LOADED_FILES: list,
    VIRT_PUBLISH_STATE_DIR: join(dir, 'state'),
  };
  try {
    await new Promise((resolve) => {
      execFile(process.execPath, [`${root}dist/cli/main.js`, ...args], { env }, resolve);
    });
    return (await readFile(list, 'utf8'))
      .trim()
      .split('\n')
      .map((url) => fileURLToPath(url));
  } finally {
    await rm(dir, { recursive: true, force: true });
  }
}
