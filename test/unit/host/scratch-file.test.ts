// A run removes its own files, and no others.
import { access, mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, expect, test } from 'vitest';
import { removeScratch, type ScratchFile } from '#built/host/files/scratch-file.js';

let folder: string;
beforeEach(async () => {
  folder = await mkdtemp(join(tmpdir(), 'vp-unit-'));
});
afterEach(() => rm(folder, { recursive: true }));

test('`removeScratch` removes a scratch file and no other file, even if its type permits that', async () => {
  const path = join(folder, 'disk.qcow2');
  await writeFile(path, 'data of a guest');
  const disk = { path, isScratch: false } as unknown as ScratchFile;
  await expect(removeScratch(disk)).rejects.toThrow('no scratch file');
  await access(path);
  await removeScratch({ path, isScratch: true });
  await expect(access(path)).rejects.toThrow('ENOENT');
  await removeScratch({ path, isScratch: true });
});
