// Ids are shortened as far as they still distinguish all images.
import { expect, it } from 'vitest';
import { ShortIds } from '#built/registry/catalog/short-ids.js';

function lengthOf(...ids: string[]): number {
  const short = new ShortIds();
  for (const id of ids) short.take(id);
  return short.length;
}

it.each([
  ['no image', [], 8],
  ['ids that differ early', ['11111111-0000', '22222222-0000'], 8],
  ['the same first eight', ['11111111-0000', '11111111-1000', '22222222-0000'], 10],
  ['more of them', ['11111111-1200', '11111111-1211', '2'], 12],
  ['one id twice', ['11111111-0000', '11111111-0000'], 8],
] as const)('%s: %j to %d characters', (_, ids, length) => {
  expect(lengthOf(...ids)).toBe(length);
  expect(new Set(ids.map((id) => id.slice(0, length))).size).toBe(new Set(ids).size);
});
