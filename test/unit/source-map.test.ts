// src/README.md, the map of the source, names files and rooms that exist.
import { existsSync, readdirSync, readFileSync } from 'node:fs';
import { expect, it } from 'vitest';

const src = new URL('../../src/', import.meta.url).pathname;
const map = readFileSync(`${src}README.md`, 'utf8');

it('lists every room with a line', () => {
  const rooms = [...map.matchAll(/^\| `([a-z]+)` +\| \S/gm)].map(([, room]) => room);
  const folders = readdirSync(src, { withFileTypes: true }).filter((each) => each.isDirectory());
  const isCode = ({ name }: { name: string }) =>
    readdirSync(`${src}${name}`).some((file) => file !== 'README.md' && !file.endsWith('.md'));
  expect(rooms.sort()).toEqual(
    folders
      .filter(isCode)
      .map(({ name }) => name)
      .sort(),
  );
});

it('follows a live snapshot through at most 30 files, each of which exists', () => {
  const steps = [...map.matchAll(/^\d+\. `([^`]+\.ts)`/gm)].map(([, path = '']) => path);
  expect(steps.length).toBeGreaterThan(20);
  expect(steps.length).toBeLessThanOrEqual(30);
  expect(new Set(steps).size).toBe(steps.length);
  expect(steps.filter((path) => !existsSync(src + path))).toEqual([]);
});

it('names no file that is missing', () => {
  const paths = [...map.matchAll(/`([a-z0-9-]+\/[a-z0-9/.-]+\.(?:ts|json))`/g)].map(
    ([, path = '']) => path,
  );
  const missing = paths.filter(
    (path) => !existsSync(src + path) && !existsSync(`${src}../${path}`),
  );
  expect(missing).toEqual([]);
});
