// The bytes of an import that were inspected are the bytes that are uploaded, even if a process writes to the file.
import { chownSync, mkdtempSync, renameSync, rmSync, statSync, writeFileSync } from 'node:fs';
import { open, readFile, truncate } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import koffi from 'koffi';
import { afterAll, beforeEach, expect, it } from 'vitest';
import { loadConfig } from '#built/config/config.js';
import { decideImport } from '#built/operations/import/import-settings.js';
import { withStillFile } from '#built/operations/import/still-file.js';
import { must } from '../../support/exec.ts';

const folder = mkdtempSync(join(tmpdir(), 'still-'));
const source = join(folder, 'disk.raw');
const place = { folder, access: Promise.resolve() };

beforeEach(() => {
  rmSync(source, { force: true });
  writeFileSync(source, 'as it was');
});
afterAll(() => rmSync(folder, { recursive: true }));

async function settings() {
  return decideImport({ source, name: 'still' }, await loadConfig({ env: {} }));
}

it('a file that another process can write to through a mapping is refused', async () => {
  const libc = koffi.load('libc.so.6');
  const mmap = libc.func('void *mmap(void *, size_t, int, int, int, long)');
  const munmap = libc.func('int munmap(void *, size_t)');
  const file = await open(source, 'r+');
  // Readable and writable, shared; the descriptor is closed, and the mapping stays.
  const mapping = mmap(null, 4096, 3, 1, file.fd, 0);
  await file.close();
  const importing = withStillFile(await settings(), place, async () => 'imported');
  await expect(importing).rejects.toMatchObject({ code: 'IMAGE_REFUSED', retryable: true });
  munmap(mapping, 4096);
  await expect(withStillFile(await settings(), place, async () => 'imported')).resolves.toBe(
    'imported',
  );
});

it('a process that opens the file for writing ends the import, and is not blocked by it', async () => {
  let written: Promise<void> | undefined;
  const importing = withStillFile(await settings(), place, async (still, { signal }) => {
    const before = await readFile(still.path, 'utf8');
    written = truncate(source, 3);
    await new Promise<void>((resolve) => signal.addEventListener('abort', () => resolve()));
    expect(before).toBe('as it was');
    await still.assertUnchanged();
  });
  await expect(importing).rejects.toMatchObject({
    code: 'IMAGE_REFUSED',
    message: expect.stringContaining(`${source} was opened for writing`),
  });
  await written;
  expect(await readFile(source, 'utf8')).toBe('as ');
});

it('a file that replaces the source under its name is not read', async () => {
  await withStillFile(await settings(), place, async (still) => {
    writeFileSync(join(folder, 'other'), 'another');
    renameSync(join(folder, 'other'), source);
    expect(await readFile(still.path, 'utf8')).toBe('as it was');
    expect(await must('cat', [still.path])).toBe('as it was');
    await still.assertUnchanged();
  });
});

it('a file without a lease is copied first, with its holes', async () => {
  await truncate(source, 64 * 1024 * 1024);
  chownSync(source, 65534, 65534);
  const built = new URL('../../../build/', import.meta.url).href;
  const script = `
    const { loadConfig } = await import('${built}config/config.js');
    const { decideImport } = await import('${built}operations/import/import-settings.js');
    const { withStillFile } = await import('${built}operations/import/still-file.js');
    const settings = decideImport({ source: '${source}', name: 'x' }, await loadConfig({ env: {} }));
    const place = { folder: '${folder}', access: Promise.resolve() };
    const copy = await withStillFile(settings, place, async ({ path, isScratch }) => isScratch && path);
    console.log(copy);`;
  // Root without the right to take leases on the files of other users.
  const args = ['--bounding-set=-lease', '--inh-caps=-lease', process.execPath];
  const copy = (await must('setpriv', [...args, '--input-type=module', '-e', script])).trim();
  expect(copy).toBe(join(folder, 'copied'));
  await must('cmp', [copy, source]);
  expect(statSync(copy)).toMatchObject({ uid: 0, size: 64 * 1024 * 1024 });
  expect(statSync(copy).mode & 0o777).toBe(0o600);
  expect(statSync(copy).blocks).toBeLessThan(100);
});
