// Signatures of GETs, held against the worked examples in Amazon's documentation of signature version 4.
import { expect, test } from 'vitest';
import { GetSigner } from '#dist/registry/s3-sign.js';

const credentials = {
  accessKeyId: 'AKIAIOSFODNN7EXAMPLE',
  secretAccessKey: 'wJalrXUtnFEMI/K7MDENG/bPxRfiCYEXAMPLEKEY',
};
const host = 'examplebucket.s3.amazonaws.com';
const now = new Date('2013-05-24T00:00:00Z');

test.each([
  [
    { host, path: '/test.txt', query: '', headers: { range: 'bytes=0-9' } },
    'f0e8bdb87c964420e857bd35b5d6ed310bd44f0170aba48dd91039c6036bdb41',
  ],
  [
    { host, path: '/', query: 'lifecycle=' },
    'fea454ca298b7da1c68078a5d1bdbfbbe0d65c699e0f91ac7a200a0136783543',
  ],
  [
    { host, path: '/', query: 'max-keys=2&prefix=J' },
    '34b48302e7b5fa45bde8084f4b7868a86f0a534bc59db6670ed5711ef69dc6f7',
  ],
])('%o', (request, signature) => {
  const signer = new GetSigner('us-east-1');
  const sign = (at: Date) => signer.sign(request, credentials, at).authorization;
  expect(sign(now)).toContain(`Signature=${signature}`);
  // The key that is kept is one day's.
  expect(sign(new Date('2013-05-25T00:00:00Z'))).not.toContain(signature);
  expect(sign(now)).toContain(`Signature=${signature}`);
});

test('a token of passing credentials is sent and signed', () => {
  const request = { host, path: '/', query: '' };
  const passing = { ...credentials, sessionToken: 'token' };
  const headers = new GetSigner('us-east-1').sign(request, passing, now);
  expect(headers).toMatchObject({
    ...{ 'x-amz-security-token': 'token' },
    authorization: expect.stringContaining('x-amz-date;x-amz-security-token,'),
  });
});
