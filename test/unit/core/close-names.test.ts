// The names that a mistyped one is close to.
import { expect, test } from 'vitest';
import { closeNames } from '#built/core/close-names.js';

const NAMES = ['web01', 'web02', 'db01', 'mail', 'web01-old', 'a'];

test.each([
  ['web1', ['web01', 'web02']],
  ['WEB01', ['web01', 'web01-old', 'web02', 'db01']],
  ['old', ['web01-old']],
  ['mial', ['mail']],
  ['nothing-like-it', []],
  ['', ['a']],
])('%j is close to %j', (ref, expected) => {
  expect(closeNames(ref, NAMES)).toEqual(expected);
});

test('`closeNames` returns at most five names', () => {
  const many = Array.from({ length: 20 }, (_, index) => `node${index}`);
  expect(closeNames('node', many)).toHaveLength(5);
});
