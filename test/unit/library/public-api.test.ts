// The public API is documented, complete, and free of internals.
import { readFileSync } from 'node:fs';
import { expect, it } from 'vitest';
import { readPublicApi } from '../../../config/public-api.mjs';

const root = new URL('../../../', import.meta.url).pathname;
const api = readPublicApi(`${root}dist/types`);

it('every export has a docstring', () => {
  expect(api.length).toBeGreaterThan(80);
  expect(api.filter(({ doc }) => doc === '').map(({ name, file }) => `${file}: ${name}`)).toEqual(
    [],
  );
});

it('no public type mentions a type that is not exported', () => {
  const wrong = api.filter(({ inner }) => inner.length > 0);
  expect(wrong.map(({ name, inner }) => `${name} mentions ${inner.join(', ')}`)).toEqual([]);
});

it('every function documents its errors, and every method of a registry has a docstring', () => {
  const functions = api.filter(({ kind }) => kind === 'function');
  expect(functions.map(({ name }) => name)).toEqual([
    ...['commitChain', 'createSnapshot', 'createVolumeSnapshot', 'doctor', 'importImage'],
    ...['inspectDomain', 'listRuns', 'loadConfig', 'openRegistry', 'planSnapshot'],
    ...['planVolumeSnapshot', 'pullChain', 'recoverRuns', 'showChain'],
  ]);
  for (const { name, doc } of functions) expect(doc, name).toContain('@throws PublishError');
  const { text = '' } = api.find(({ name }) => name === 'ImageRegistry') ?? {};
  const members = [...text.matchAll(/^ {4}(?:readonly )?(\w+)[(:]/gm)];
  expect(members.length).toBeGreaterThan(20);
  for (const { 1: name, index } of members)
    expect(text.slice(0, index).trimEnd().endsWith('*/'), name).toBe(true);
});

it('the API page has every export', () => {
  const page = readFileSync(`${root}dist/api.md`, 'utf8');
  for (const { name } of api) expect(page).toContain(`\n### ${name}\n`);
});

it('the library exports the values of its declarations, and no others', async () => {
  const library = await import('virt-publish');
  const values = api.filter(({ kind }) => ['function', 'class', 'const'].includes(kind));
  expect(Object.keys(library).sort()).toEqual(values.map(({ name }) => name).sort());
});
