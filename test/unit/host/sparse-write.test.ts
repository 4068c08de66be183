// Zeros become holes in a new file, and zeros over bytes that were written before.
import { randomBytes } from 'node:crypto';
import { mkdtempSync, rmSync } from 'node:fs';
import { open, readFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, expect, it } from 'vitest';
import { writeSparse } from '#built/host/io/sparse-write.js';

const KIB = 1024;
const folder = mkdtempSync(join(tmpdir(), 'sparse-'));
afterAll(() => rmSync(folder, { recursive: true }));

it('`writeSparse` writes all bytes over older ones, and a file has no blocks for zeros', async () => {
  const path = join(folder, 'image');
  const file = await open(path, 'wx+');
  const first = Buffer.alloc(1024 * KIB);
  randomBytes(100 * KIB).copy(first, 200 * KIB);
  const start = 3 * KIB;
  await writeSparse(file, first, start);
  await file.truncate(start + first.byteLength);
  expect((await readFile(path)).subarray(start).equals(first)).toBe(true);
  expect((await file.stat()).blocks * 512).toBeLessThan(300 * KIB);
  const second = Buffer.alloc(1024 * KIB);
  randomBytes(10).copy(second, 700 * KIB);
  await writeSparse(file, second, start);
  expect((await readFile(path)).subarray(start).equals(second)).toBe(true);
  await file.close();
});
