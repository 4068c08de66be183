// The keys of a LIST, read from the text of its answer.
import { expect, test } from 'vitest';
import { scanList } from '#built/store/s3/list-scan/scan-list.js';

const page = (inside: string) =>
  `<?xml version="1.0" encoding="UTF-8"?>\n<ListBucketResult xmlns="http://s3.amazonaws.com/doc/2006-03-01/">${inside}</ListBucketResult>`;
const CONTENTS =
  '<Contents><Key>a &amp; b&#x9;&lt;c&gt;</Key><LastModified>2026-01-02T03:04:05.678Z</LastModified>' +
  '<ETag>&quot;d41d8cd98f00b204e9800998ecf8427e&quot;</ETag><Size>12</Size></Contents>';

test('`scanList` returns each object unescaped, and the answer without them', () => {
  const head = '<KeyCount>2</KeyCount>';
  const tail = '<IsTruncated>false</IsTruncated>';
  expect(scanList(page(head + CONTENTS + CONTENTS + tail))).toEqual({
    objects: Array.from({ length: 2 }, () => ({
      Key: 'a & b\t<c>',
      Size: 12,
      ETag: '"d41d8cd98f00b204e9800998ecf8427e"',
      LastModified: new Date('2026-01-02T03:04:05.678Z'),
    })),
    rest: page(head + tail),
  });
});

test.each([
  '',
  '<Error><Code>SlowDown</Code></Error>',
  page('<Contents><Key>k</Key></Contents>'),
  page('<Contents><Key>k</Key><Size>1</Size>'),
  page('<Contents><Key>k</Key><Size>many</Size></Contents>'),
  page('<Contents><Key>k</Key><Size>1</Size><LastModified>then</LastModified></Contents>'),
  page('<Contents><Key><![CDATA[k]]></Key><Size>1</Size></Contents>'),
])('`scanList` leaves %j to the SDK', (text) => {
  expect(scanList(text)).toBeUndefined();
});
