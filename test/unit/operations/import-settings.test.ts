// Wrong options of an import are refused before anything is read.
import { expect, it } from 'vitest';
import { loadConfig } from '#built/config/config.js';
import { decideImport } from '#built/operations/import/import-settings.js';

it('--sha256 takes only 64 hex digits, in either case', async () => {
  const config = await loadConfig({ env: {} });
  const decide = (sha256: string) =>
    decideImport({ source: 'x', name: 'x', sha256 }, config).sha256;
  expect(decide('0123456789ABCDEF'.repeat(4))).toBe('0123456789abcdef'.repeat(4));
  for (const malformed of [
    '',
    'abc',
    '0'.repeat(63),
    '0'.repeat(65),
    `g${'0'.repeat(63)}`,
    `${'0'.repeat(64)}  x`,
  ])
    expect(() => decide(malformed), malformed).toThrow(expect.objectContaining({ code: 'USAGE' }));
});

it.each([
  ['/images/debian-13.qcow2', 'debian-13'],
  ['cirros-0.6.2.img', 'cirros-0.6.2'],
  ['db.vmdk.tar.gz', 'db'],
  ['disk', 'disk'],
  ['https://example.org/a/debian%2013.qcow2.xz?token=x', 'debian 13'],
])('the image of %s is named %s, unless --name says otherwise', async (source, name) => {
  const config = await loadConfig({ env: {} });
  expect(decideImport({ source }, config).name).toBe(name);
  expect(decideImport({ source, name: 'mine' }, config).name).toBe('mine');
});

it.each(['-', '/dev/stdin', 'https://example.org/', '.xz'])('%s gives no name', async (source) => {
  const config = await loadConfig({ env: {} });
  expect(() => decideImport({ source }, config)).toThrow(
    expect.objectContaining({ code: 'USAGE', hint: 'name it with --name' }),
  );
});
