// A page of keys read from its text.
import { describe, expect, it } from 'vitest';
import { parseListPage } from '#built/store/s3/list-xml.js';

describe('a page of keys', () => {
  const page = (inside: string) =>
    `<?xml version="1.0" encoding="UTF-8"?>\n<ListBucketResult xmlns="http://s3.amazonaws.com/doc/2006-03-01/">${inside}</ListBucketResult>`;
  const contents =
    '<Contents><Key>a &amp; b&#x9;&lt;c&gt;</Key><LastModified>2026-01-02T03:04:05.678Z</LastModified>' +
    '<ETag>&quot;d41d8cd98f00b204e9800998ecf8427e&quot;</ETag><Size>12</Size></Contents>';

  it('is read as it is', () => {
    const text = page(`<IsTruncated>false</IsTruncated>${contents}`);
    const { objects = [], nextToken } = parseListPage(text) ?? {};
    expect(nextToken).toBeUndefined();
    expect(
      objects.map(({ key, size, etag, lastModified }) => ({ key, size, etag, lastModified })),
    ).toEqual([
      {
        key: 'a & b\t<c>',
        size: 12,
        etag: 'd41d8cd98f00b204e9800998ecf8427e',
        lastModified: new Date('2026-01-02T03:04:05.678Z'),
      },
    ]);
    expect(parseListPage(text, 'a & ')?.objects[0]?.key).toBe('b\t<c>');
    expect(parseListPage(text, 'other/')).toBeUndefined();
  });

  it('goes on where it says so, before or after its keys', () => {
    const more =
      '<IsTruncated>true</IsTruncated><NextContinuationToken>x&amp;y</NextContinuationToken>';
    for (const inside of [more + contents, contents + more])
      expect(parseListPage(page(inside))).toMatchObject({ nextToken: 'x&y' });
  });

  it('that is anything else is left to the SDK', () => {
    const key = '<Key>k</Key>';
    for (const text of [
      '',
      '<Error><Code>SlowDown</Code></Error>',
      page(contents),
      page(`<IsTruncated>false</IsTruncated><KeyCount>2</KeyCount>${contents}`),
      page(`<IsTruncated>true</IsTruncated>${contents}`),
      page(`<IsTruncated>false</IsTruncated><Contents>${key}</Contents>`),
      page(`<IsTruncated>false</IsTruncated><Contents>${key}<Size>1</Size>`),
      page('<IsTruncated>false</IsTruncated>').slice(0, -5),
    ])
      expect(parseListPage(text), text).toBeUndefined();
  });
});
