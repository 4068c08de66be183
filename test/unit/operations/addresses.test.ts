// The addresses that count as public, in every notation.
import { describe, expect, it } from 'vitest';
import { isPublic, lookupPublic } from '#built/operations/import/fetch/addresses.js';
import { openDownload } from '#built/operations/import/fetch/download.js';

const LOCAL = [
  ...['127.0.0.1', '127.255.255.254', '0.0.0.0', '10.1.2.3', '172.16.0.1', '172.31.255.255'],
  ...['192.168.0.1', '169.254.169.254', '100.64.0.1', '224.0.0.1', '255.255.255.255', '198.18.0.1'],
  ...['::1', '::', 'fe80::1', 'fc00::1', 'fd12:3456::1', 'ff02::1', '::ffff:127.0.0.1'],
  ...['::ffff:7f00:1', '64:ff9b::7f00:1', '2002:7f00:1::', '2001:db8::1', 'not an address', ''],
];

describe('isPublic', () => {
  it.each(LOCAL)('%s is not', (address) => expect(isPublic(address)).toBe(false));

  it.each(['1.1.1.1', '172.15.0.1', '172.32.0.1', '100.128.0.1', '2606:4700::1111'])(
    '%s is',
    (address) => expect(isPublic(address)).toBe(true),
  );
});

it('the lookup refuses a name that resolves to this host', async () => {
  const error = await new Promise((resolve) => lookupPublic('localhost', {}, resolve));
  expect(error).toMatchObject({ code: 'DOWNLOAD', message: expect.stringContaining('127.0.0.1') });
});

describe('openDownload', () => {
  const options = {
    ...{ allowPrivate: false, maxBytes: 1, idleMs: 1000 },
    signal: new AbortController().signal,
  };

  // WHATWG URLs turn every spelling of an address into the plain one.
  it.each([
    ...['http://127.0.0.1/', 'http://2130706433/', 'http://0x7f.1/', 'http://0177.0.0.1/'],
    ...['http://[::1]/', 'http://[::ffff:127.0.0.1]/', 'http://localhost/', 'https://10.0.0.1/'],
    ...['http://169.254.169.254/latest/meta-data/'],
  ])('%s is refused', async (url) => {
    await expect(openDownload(url, options)).rejects.toMatchObject({
      code: 'DOWNLOAD',
      hint: expect.stringContaining('--allow-private'),
    });
  });

  it.each(['file:///etc/passwd', 'ftp://example.org/x', 'nbd://127.0.0.1', 'no url'])(
    '%s is no URL to fetch',
    async (url) => {
      await expect(openDownload(url, options)).rejects.toMatchObject({ code: 'USAGE' });
    },
  );
});
