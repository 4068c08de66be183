// `isPageCached`: whether pages lie in the page cache.
import { open, readFile, rm, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { afterAll, beforeAll, expect, test } from 'vitest';
import { isPageCached } from '#built/host/native/page-cache.js';
import { must } from '../../support/exec.ts';

// Not below /tmp, which may be in memory.
const path = join('/var/tmp', `vp-unit-page-cache-${process.pid}`);

beforeAll(() => writeFile(path, Buffer.alloc(2 ** 20, 7)));
afterAll(() => rm(path));

test('`isPageCached` is false for a page that was dropped from the page cache and true for one that was read', async () => {
  await must('dd', [`of=${path}`, 'oflag=nocache', 'conv=notrunc,fdatasync', 'count=0']);
  const file = await open(path, 'r');
  expect([0, 2 ** 19].map((at) => isPageCached(file.fd, at))).toEqual([false, false]);
  await readFile(path);
  expect([0, 2 ** 19].map((at) => isPageCached(file.fd, at))).toEqual([true, true]);
  await file.close();
});
