// Which URLs lead to which store, and which are refused, without a secret in the message.

import { expect, test } from 'vitest';
import { assertKey } from '#built/registry/object-key.js';
import { openStore, parseBucketUrl } from '#built/registry/open-store.js';

const OPTIONS = { requestMs: 1000, partMs: 1000, s3: { endpoint: 'http://127.0.0.1:1' } };

test.each([
  ['s3://bucket', { bucket: 'bucket', prefix: '' }],
  ['s3://bucket/', { bucket: 'bucket', prefix: '' }],
  ['s3://my.bucket-1/golden/images/', { bucket: 'my.bucket-1', prefix: 'golden/images' }],
])('%s is a bucket and a prefix', (url, expected) => {
  expect(parseBucketUrl(url)).toEqual(expected);
});

test.each([
  '',
  's3://',
  's3:///x',
  's3://b/x',
  's3://bucket/../x',
  's3://bucket/a//b',
  'http://host/x',
  'file://host/x',
])('%j is refused', async (url) => {
  await expect(openStore(url, OPTIONS)).rejects.toMatchObject({ code: 'USAGE' });
});

test('a password in a URL is not repeated', async () => {
  await expect(openStore('s3://key:hunter2@bucket/x', OPTIONS)).rejects.toMatchObject({
    code: 'USAGE',
    message: expect.not.stringContaining('hunter2'),
  });
});

test('a password in an endpoint is refused and not repeated', async () => {
  const s3 = { endpoint: 'http://key:hunter2@127.0.0.1:1' };
  await expect(openStore('s3://bucket/x', { ...OPTIONS, s3 })).rejects.toMatchObject({
    code: 'CONFIG',
    message: expect.not.stringContaining('hunter2'),
  });
});

test('stores are told by the URL', async () => {
  expect((await openStore('s3://bucket/x/', OPTIONS)).url).toBe('s3://bucket/x');
  expect((await openStore('file:///srv/images', OPTIONS)).url).toBe('/srv/images');
  expect((await openStore('/srv/images/', OPTIONS)).url).toBe('/srv/images');
});

test.each([
  '',
  '/',
  '/a',
  'a/',
  'a//b',
  '.',
  '..',
  'a/../b',
  'a/./b',
  'a\u0000b',
  'a\nb',
  '.uploads/x',
  'x'.repeat(1025),
])('%j is no key', (key) => {
  expect(() => assertKey(key)).toThrow(expect.objectContaining({ code: 'USAGE' }));
});

test.each(['a', 'images/x/record/00000001.json', 'a b/ü+%&=?#', '.hidden', '..a'])(
  '%j is a key',
  (key) => {
    expect(() => assertKey(key)).not.toThrow();
  },
);
