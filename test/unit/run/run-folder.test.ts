// The folders of a run can be walked through by QEMU's user, whatever the umask.
import { mkdtemp, rm, stat } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { expect, test } from 'vitest';
import { makeRunFolder } from '#built/run/run-folder.js';

test('a strict umask does not close the way to the delta', async () => {
  const folder = await mkdtemp(join(tmpdir(), 'vp-unit-'));
  const before = process.umask(0o077);
  try {
    await makeRunFolder(join(folder, 'state/runs/id'));
  } finally {
    process.umask(before);
  }
  for (const path of ['state', 'state/runs', 'state/runs/id']) {
    expect((await stat(join(folder, path))).mode & 0o777, path).toBe(0o711);
  }
  expect((await stat(folder)).mode & 0o777).toBe(0o700);
  await rm(folder, { recursive: true });
});

test('a folder that cannot be made is an error that names it', async () => {
  await expect(makeRunFolder('/dev/null/such')).rejects.toMatchObject({
    code: 'WORK_DIR',
    message: expect.stringContaining('/dev/null/such'),
  });
});
