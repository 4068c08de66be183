// The signature of a GET against Amazon's own example, and a page of keys read from its text.
import { describe, expect, it } from 'vitest';
import { parseListPage } from '#dist/registry/s3-list-xml.js';
import { encodePart, signGet } from '#dist/registry/s3-sign.js';

describe('the signature', () => {
  const keys = {
    accessKeyId: 'AKIAIOSFODNN7EXAMPLE',
    secretAccessKey: 'wJalrXUtnFEMI/K7MDENG/bPxRfiCYEXAMPLEKEY',
  };
  const now = new Date('2013-05-24T00:00:00Z');

  it('of a listing is the one in the documentation', () => {
    // https://docs.aws.amazon.com/AmazonS3/latest/API/sig-v4-header-based-auth.html
    const request = {
      host: 'examplebucket.s3.amazonaws.com',
      path: '/',
      query: { prefix: 'J', 'max-keys': '2' },
      region: 'us-east-1',
    };
    const { headers, search } = signGet(request, keys, now);
    expect(search).toBe('max-keys=2&prefix=J');
    expect(headers.authorization).toBe(
      'AWS4-HMAC-SHA256 Credential=AKIAIOSFODNN7EXAMPLE/20130524/us-east-1/s3/aws4_request,' +
        'SignedHeaders=host;x-amz-content-sha256;x-amz-date,' +
        'Signature=34b48302e7b5fa45bde8084f4b7868a86f0a534bc59db6670ed5711ef69dc6f7',
    );
  });

  it('covers a session token, and nothing shows the secret key', () => {
    const request = { host: 'localhost', path: '/b/k', query: {}, region: 'r' };
    const { headers } = signGet(request, { ...keys, sessionToken: 'token' }, now);
    expect(headers['x-amz-security-token']).toBe('token');
    expect(headers.authorization).toContain('x-amz-date;x-amz-security-token,');
    expect(JSON.stringify(headers)).not.toContain(keys.secretAccessKey);
  });

  it('leaves only what RFC 3986 does', () => {
    expect(encodePart("a-b_c.d~e f/g(h)'!*")).toBe('a-b_c.d~e%20f%2Fg%28h%29%27%21%2A');
  });
});

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
