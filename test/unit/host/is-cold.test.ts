// Whether a file lies in the page cache, by samples of the kernel's answer.
import { readFile, rm, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { afterAll, expect, test } from 'vitest';
import { areCold, isCold, samplePlaces } from '#built/host/io/is-cold.js';
import { must } from '../../support/exec.ts';

const MIB = 1024 * 1024;
// Not below /tmp, which may be in memory.
const path = join('/var/tmp', `vp-unit-is-cold-${process.pid}`);

afterAll(() => rm(path));

test('a large file is cold after its pages were dropped, and not after it was read', async () => {
  await writeFile(path, Buffer.alloc(64 * MIB, 7));
  await must('dd', [`of=${path}`, 'oflag=nocache', 'conv=notrunc,fdatasync', 'count=0']);
  expect(await isCold(path, 64 * MIB)).toBe(true);
  expect(await isCold(path, 63 * MIB), 'too small for a look').toBe(false);
  await readFile(path);
  expect(await isCold(path, 64 * MIB)).toBe(false);
  expect(await areCold(`${path}.missing`, [0])).toBe(false);
});

test('samples lie in the ranges, spread evenly over their bytes', () => {
  const ranges = [
    { at: 1000 * MIB, length: 31 * MIB },
    { at: 5000 * MIB, length: 1 },
    { at: 10 * MIB, length: 62 * MIB - 1 },
  ];
  const places = samplePlaces(ranges);
  expect(places).toHaveLength(31);
  expect(places.slice(0, 12)).toEqual(
    [0, 3, 6, 9, 12, 15, 18, 21, 24, 27, 30].map((n) => (1000 + n) * MIB).concat(12 * MIB - 1),
  );
  expect(places.at(-1)).toBe(69 * MIB - 1);
});
