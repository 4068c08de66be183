// Which URLs lead to which store, and which are refused, without a secret in the message.

import { expect, test } from 'vitest';
import { assertKey } from '#built/store/object-key.js';
import { openStore } from '#built/store/open-store.js';
import { parseRegistryUrl } from '#built/store/registry-url.js';

const OPTIONS = { requestMs: 1000, partMs: 1000, s3: { endpoint: 'http://127.0.0.1:1' } };

test.each([
  ['s3://bucket', { bucket: 'bucket', prefix: '' }],
  ['s3://bucket/', { bucket: 'bucket', prefix: '' }],
  ['S3://my.bucket-1/golden/images/', { bucket: 'my.bucket-1', prefix: 'golden/images' }],
  ["s3://bucket/a+b (c)/d'e@f=g!h*", { bucket: 'bucket', prefix: "a+b (c)/d'e@f=g!h*" }],
])('%s is a bucket and a prefix', (url, expected) => {
  expect(parseRegistryUrl(url)).toEqual({ kind: 'bucket', ...expected });
});

test.each([
  ['/srv/images', '/srv/images'],
  ['images', 'images'],
  ['./s3:images', './s3:images'],
  ['/mnt/host:share/~x', '/mnt/host:share/~x'],
  ['file:///srv/images%20x', '/srv/images x'],
])('%s is a directory', (url, path) => {
  expect(parseRegistryUrl(url)).toEqual({ kind: 'directory', path });
});

test.each([
  ['', 'write s3://bucket/prefix or a directory'],
  ['s3:/bucket/x', 'write s3://bucket/x'],
  ['s3:bucket', 'write s3://bucket'],
  ['S3:/bucket', 'write s3://bucket'],
  [' s3://bucket', 'write s3://bucket'],
  ['s3:', 'write s3://'],
  ['file:/srv/images', 'write file:///srv/images'],
  ['file:images', 'write file:///images'],
  ['http://host/x', 'the server as --endpoint'],
  ['https:/host/x', 'the server as --endpoint'],
  ['gs://bucket/x', 'only s3:// and file:// are known'],
  ['host:/export', './host:/export for a directory of that name'],
  ['c:images', './c:images for a directory of that name'],
  ['~/images', 'no shell replaced the ~'],
  ['~', 'no shell replaced the ~'],
  ['~other/images', 'no shell replaced the ~'],
  ['s3://', 'the name of a bucket has'],
  ['s3:///x', 'the name of a bucket has'],
  ['s3://b/x', 'the name of a bucket has'],
  ['s3://bucket?x=1', 'the name of a bucket has'],
  ['s3://bucket/../x', 'a prefix has letters a to z'],
  ['s3://bucket/a//b', 'a prefix has letters a to z'],
  ['s3://bucket/ü', 'a prefix has letters a to z'],
  ['s3://bucket/a%20b', 'a prefix has letters a to z'],
  ['s3://bucket/a\nb', 'a prefix has letters a to z'],
  ['file://host/x', 'write file:///directory'],
  ['file:///srv/a?b', 'write %3F for a ?'],
  ['file:///srv/a#b', 'write %3F for a ?'],
])('%j is refused, with what to write', async (url, advice) => {
  const refused = { code: 'USAGE', hint: expect.stringContaining(advice) };
  await expect(openStore(url, OPTIONS)).rejects.toMatchObject(refused);
});

test.each([
  's3://key:hunter2@bucket/x',
  's3:/key:hunter2@bucket/x',
  'https://key:hunter2@host/x',
  'ftp://key:hunter2@host/x',
  'key:hunter2@host/x',
  '~/key:hunter2@host',
])('a password in %s is not repeated', async (url) => {
  await expect(openStore(url, OPTIONS)).rejects.toMatchObject({
    code: 'USAGE',
    message: expect.not.stringContaining('hunter2'),
    hint: expect.not.stringContaining('hunter2'),
  });
});

test('a password in an endpoint is refused and not repeated', async () => {
  const s3 = { endpoint: 'http://key:hunter2@127.0.0.1:1' };
  await expect(openStore('s3://bucket/x', { ...OPTIONS, s3 })).rejects.toMatchObject({
    code: 'CONFIG',
    message: expect.not.stringContaining('hunter2'),
    hint: expect.not.stringContaining('hunter2'),
  });
});

test('the URL decides which store is opened', async () => {
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
