// update, deactivate, alias, verify, prune, gc, copy and sums on a directory registry, as a user runs them.
import { spawnSync } from 'node:child_process';
import { randomBytes } from 'node:crypto';
import { cpSync, mkdtempSync, readFileSync, rmSync, utimesSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { openRegistry } from '#built/registry/registry.js';
import { fileSource } from '#built/transfer/upload/file-source.js';

const main = new URL('../../../dist/cli/main.js', import.meta.url).pathname;
const folder = mkdtempSync(join(tmpdir(), 'cli-catalog-'));
const url = join(folder, 'registry');
let first = '';
let second = '';

beforeAll(async () => {
  first = await publish('web', 1000);
  second = await publish('web', 2000);
});
afterAll(() => rmSync(folder, { recursive: true }));

async function publish(name: string, bytes: number): Promise<string> {
  const registry = await openRegistry(url);
  const file = join(folder, 'data');
  writeFileSync(file, randomBytes(bytes));
  const { id } = await registry.queueImage({ name, disk_format: 'raw' });
  await registry.markSaving(id);
  const { digests, size } = await registry.uploadData(id, 'vda.raw', await fileSource(file));
  const data = { name: 'vda.raw', size, sha256: digests.sha256 };
  await registry.activateImage(id, { data });
  return id;
}

function virtPublish(...args: string[]) {
  const env = { PATH: process.env.PATH, HOME: folder, VIRT_PUBLISH_STATE_DIR: join(folder, 's') };
  const all = [main, ...args, '--registry', url];
  const { status, stdout, stderr } = spawnSync(process.execPath, all, { encoding: 'utf8', env });
  return { status, stdout, stderr };
}

function json(...args: string[]) {
  const lines = virtPublish(...args, '--json')
    .stdout.trim()
    .split('\n');
  return JSON.parse(lines.at(-1) ?? '');
}

describe('list', () => {
  it('`list` pages by --marker and sorts', () => {
    const page = json('list', '--limit', '1', '--sort', 'size');
    expect(page).toMatchObject({ images: [{ id: first }], marker: first });
    const next = json('list', '--limit', '1', '--sort', 'size', '--marker', first);
    expect(next).toMatchObject({ images: [{ id: second }], marker: null });
    expect(virtPublish('list', '--limit', '1').stderr).toContain('--marker');
  });

  it('`list` filters by size and time', () => {
    const ids = (...args: string[]) =>
      json('list', ...args).images.map(({ id }: { id: string }) => id);
    expect(ids('--size-min', '1.5K')).toEqual([second]);
    expect(ids('--size-max', '1kB')).toEqual([first]);
    expect(ids('--created-after', '1h')).toHaveLength(2);
    expect(ids('--created-before', '1h')).toEqual([]);
    expect(ids('--updated-after', '2026-01-01T00:00Z', '--disk-format', 'raw')).toHaveLength(2);
    for (const wrong of [
      ['--size-min', 'big'],
      ['--created-after', 'soon'],
      ['--sort', 'colour'],
    ])
      expect(virtPublish('list', ...wrong).status).toBe(2);
  });

  it('`list --format csv` prints CSV', () => {
    virtPublish('update', second, '--name', 'a, "quoted" name', '--property', 'k=v');
    const { stdout } = virtPublish('list', '--format', 'csv', '--sort', 'size');
    const [titles, , row] = stdout.split('\r\n');
    expect(titles).toMatch(/^id,name,status,.*,tags,properties$/);
    expect(row).toContain(`${second},"a, ""quoted"" name",active,`);
    expect(row).toContain('"{""k"":""v""}"');
  });
});

describe('update, deactivate, reactivate', () => {
  it('`update` changes the fields that flags name', () => {
    const flags = ['--name', 'web', '--tag', 'a', '--min-disk', '2', '--hidden', '--protected'];
    expect(virtPublish('update', second, ...flags, '--remove-property', 'k').status).toBe(0);
    expect(json('show', second).image).toMatchObject({
      ...{ name: 'web', tags: ['a'], min_disk: 2, os_hidden: true, protected: true },
      properties: {},
    });
    expect(json('list').images).toHaveLength(1);
    expect(json('list', '--hidden').images).toMatchObject([{ id: second }]);
    expect(virtPublish('delete', second).status).toBe(40);
    expect(virtPublish('update', second, '--visible', '--unprotected').status).toBe(0);
  });

  it('`update` refuses no changes, opposite flags, and another --if-version', () => {
    expect(virtPublish('update', second).status).toBe(2);
    expect(virtPublish('update', second, '--hidden', '--visible').status).toBe(2);
    expect(virtPublish('update', second, '--name', 'x', '--if-version', '1').status).toBe(43);
    expect(virtPublish('update', 'nothing', '--name', 'x').status).toBe(40);
  });

  it('`pull` refuses a deactivated image until it is reactivated', () => {
    expect(virtPublish('deactivate', first).status).toBe(0);
    const { status, stderr } = virtPublish('pull', first, join(folder, 'pulled'));
    expect(status).toBe(40);
    expect(stderr).toContain('is deactivated');
    expect(virtPublish('alias', 'set', 'a', first).status).toBe(40);
    expect(virtPublish('reactivate', first).status).toBe(0);
    expect(virtPublish('pull', first, join(folder, 'pulled')).status).toBe(0);
  });

  it('a transition of the status that is not allowed exits 40 and names both statuses', async () => {
    const registry = await openRegistry(url);
    const { id } = await registry.queueImage({ name: 'queued', disk_format: 'raw' });
    for (const command of ['deactivate', 'reactivate', 'verify'])
      expect(virtPublish(command, id)).toMatchObject({
        status: 40,
        stderr: expect.stringContaining('is queued and'),
      });
    await registry.deleteImage(id);
  });
});

describe('alias', () => {
  it('`alias` sets, logs, rolls back and removes an alias', () => {
    expect(virtPublish('alias', 'set', 'web/latest', first).status).toBe(0);
    expect(virtPublish('alias', 'set', 'web/latest', second).status).toBe(0);
    expect(virtPublish('alias', 'set', 'web/latest', first, '--if-version', '1').status).toBe(43);
    expect(virtPublish('alias', 'rollback', 'web/latest').status).toBe(0);
    const { stdout } = virtPublish('alias', 'log', 'web/latest');
    expect(stdout.split('\n').map((line) => line.split(/ +/)[1])).toEqual([
      ...['IMAGE', first, second, first, undefined],
    ]);
    expect(virtPublish('alias', 'rm', 'web/latest').status).toBe(0);
    expect(virtPublish('show', 'web/latest').status).toBe(40);
    expect(virtPublish('alias', 'log', 'never').status).toBe(40);
  });
});

describe('sums, verify', () => {
  it('`sums` prints lines that sha256sum accepts', () => {
    const { stdout } = virtPublish('sums');
    const tree = join(url, 'images');
    const check = spawnSync('sha256sum', ['-c'], { cwd: tree, input: stdout, encoding: 'utf8' });
    expect(check.stdout.match(/: OK/g)).toHaveLength(2);
    expect(virtPublish('sums', first).stdout).toMatch(
      new RegExp(`^[0-9a-f]{64}  ${first}/vda.raw\n$`),
    );
  });

  it('`verify` exits 42 for a damaged image, with the list on standard output', () => {
    expect(virtPublish('verify', '--all')).toMatchObject({ status: 0 });
    expect(virtPublish('verify').status).toBe(2);
    const file = join(url, 'images', first, 'vda.raw');
    const bytes = readFileSync(file);
    bytes[10] = (bytes[10] ?? 0) ^ 1;
    writeFileSync(file, bytes);
    const { status, stdout, stderr } = virtPublish('verify', '--all');
    expect(status).toBe(42);
    expect(stdout).toMatch(
      new RegExp(`${first} +web +deactivated +damaged: vda.raw has the sha256`),
    );
    expect(stdout).toMatch(new RegExp(`${second} +web +active +ok`));
    expect(stderr).toContain(`1 of 2 images are damaged: ${first}`);
    expect(json('verify', first)).toMatchObject({
      ...{ type: 'error', exitCode: 42, images: [{ id: first, result: 'damaged' }] },
    });
    expect(virtPublish('reactivate', first).status).toBe(42);
    bytes[10] = (bytes[10] ?? 0) ^ 1;
    writeFileSync(file, bytes);
    expect(virtPublish('reactivate', first).status).toBe(0);
  });
});

describe('copy, prune, gc', () => {
  it('`copy` copies an image to another registry', () => {
    const to = join(folder, 'other');
    const { status, stdout } = virtPublish('copy', first, '--to', to, '--alias', 'there');
    expect({ status, stdout }).toEqual({ status: 0, stdout: `${first}\n` });
    const all = [main, 'verify', 'there', '--registry', to];
    const env = { PATH: process.env.PATH, HOME: folder };
    expect(spawnSync(process.execPath, all, { env }).status).toBe(0);
    expect(virtPublish('copy', first).status).toBe(2);
  });

  it('`prune --dry-run` prints the images that `prune` then deletes', () => {
    expect(virtPublish('prune').status).toBe(2);
    const dry = virtPublish('prune', '--keep-last', '1', '--dry-run');
    expect(dry.stdout).toMatch(new RegExp(`^keep +${second} .* last$`, 'm'));
    expect(dry.stdout).toMatch(new RegExp(`^delete +${first} `, 'm'));
    expect(json('list').images).toHaveLength(2);
    const none = virtPublish('prune', '--keep-last', '1', '--name', 'other');
    expect(none).toMatchObject({ status: 0, stdout: expect.stringMatching(/^ *ID.*\n$/) });
    expect(none.stderr).toContain(`${url}: no active image has the name "other"\n`);
    expect(json('list').images).toHaveLength(2);
    expect(virtPublish('prune', '--keep-last', '1').status).toBe(0);
    expect(json('list').images).toMatchObject([{ id: second }]);
  });

  it('`gc` finds only old objects, and removes them only with --delete', () => {
    expect(virtPublish('gc').stdout).toBe('');
    const stray = join(url, 'images', second, 'forgotten');
    cpSync(join(folder, 'data'), stray);
    expect(json('gc').garbage).toEqual([]);
    const old = new Date(Date.now() - 48 * 3600_000);
    utimesSync(stray, old, old);
    expect(virtPublish('gc').stdout).toMatch(/^object +images\/.*\/forgotten /m);
    expect(json('gc', '--older-than', '7d').garbage).toEqual([]);
    expect(json('gc', '--delete')).toMatchObject({ removed: true, garbage: [{ kind: 'object' }] });
    expect(json('gc').garbage).toEqual([]);
    expect(virtPublish('gc', '--older-than', 'long').status).toBe(2);
  });
});
