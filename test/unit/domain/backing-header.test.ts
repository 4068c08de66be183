// `followHeaders` finds the files below an image, in each format with backing files.
import { execFileSync } from 'node:child_process';
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, expect, test } from 'vitest';
import { followHeaders } from '#built/domain/chain/backing-header.js';

const dir = mkdtempSync(join(tmpdir(), 'vp-unit-'));
afterAll(() => rmSync(dir, { recursive: true }));

function make(name: string, format: string, below?: [string, string]): string {
  const backing = below ? ['-u', '-b', below[0], '-F', below[1]] : [];
  const path = join(dir, name);
  execFileSync('qemu-img', ['create', '-q', '-f', format, ...backing, path, '1M']);
  return path;
}

test.each(['qcow2', 'qcow', 'qed', 'vmdk'])(
  '`followHeaders` finds the backing file of a %s image',
  async (format) => {
    const base = make(`base.${format}`, format);
    const top = make(`top.${format}`, format, [`base.${format}`, format]);
    expect(await followHeaders(base)).toEqual({ paths: [base], unread: null });
    expect(await followHeaders(top)).toEqual({ paths: [top, base], unread: null });
  },
);

test('`followHeaders` reports an unreadable file, and ignores a backing file outside this host', async () => {
  const lost = make('lost', 'qcow2', ['/nowhere/base.qcow2', 'qcow2']);
  expect(await followHeaders(lost)).toEqual({
    paths: [lost, '/nowhere/base.qcow2'],
    unread: expect.stringContaining('ENOENT'),
  });
  const remote = make('remote', 'qcow2', ['nbd://127.0.0.1/x', 'raw']);
  expect(await followHeaders(remote)).toEqual({ paths: [remote], unread: null });
});
