// The error for a layer that a header names with `file:` or `json:` has the command that records its path.
import { execFileSync } from 'node:child_process';
import { mkdirSync, mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, describe, expect, it } from 'vitest';
import { PublishError } from '#built/core/errors.js';
import { layerBelow } from '#built/domain/chain/layer-below.js';
import { namedFile } from '#built/domain/chain/local-spelling.js';
import type { LocalDisk } from '#built/domain/choose-disk.js';
import { info } from '#built/qemu/qemu-img.js';

const HURTING = `it's a "$(x)" \\ folder\tand more`;
const dir = join(mkdtempSync(join(tmpdir(), 'vp-spelling-')), HURTING);
mkdirSync(dir);
afterAll(() => rmSync(join(dir, '..'), { recursive: true }));

const disk = { target: 'vda', backingChain: [], backingChainKnown: false } as unknown as LocalDisk;

function qemuImg(...args: string[]): string {
  return execFileSync('qemu-img', args, { encoding: 'utf8' });
}

async function messageOf(path: string): Promise<string> {
  const facts = await info({ path, format: 'qcow2' });
  try {
    layerBelow({ disk, depth: 0, path, format: 'qcow2', facts });
    return '';
  } catch (error) {
    return error instanceof PublishError ? `${error.message}; ${error.hint}` : String(error);
  }
}

describe('the command in the hint, run by a shell, makes the layer readable', () => {
  const base = join(dir, 'base.qcow2');
  const json = (value: object) => `json:${JSON.stringify(value)}`;
  it.each([
    ['file', `file:${base}`],
    ['json', json({ driver: 'qcow2', file: { driver: 'file', filename: base } })],
    ['dotted', json({ driver: 'qcow2', 'file.driver': 'file', 'file.filename': base })],
  ])('%s', async (name, spelling) => {
    const overlay = join(dir, `${name}.qcow2`);
    qemuImg('create', '-q', '-f', 'qcow2', base, '1M');
    qemuImg('create', '-q', '-f', 'qcow2', '-u', '-b', spelling, '-F', 'qcow2', overlay, '1M');
    const message = await messageOf(overlay);
    expect(message).toMatch(
      /^disk vda has a backing file that is no local path \(.*use --mode live, /s,
    );
    const command = /: (qemu-img rebase -u .*)$/s.exec(message)?.[1] ?? 'false';
    execFileSync('bash', ['-c', command]);
    expect(await messageOf(overlay)).toBe('');
    const facts = await info({ path: overlay, format: 'qcow2' });
    expect(facts).toMatchObject({ fullBackingFile: base, backingFormat: 'qcow2' });
  });

  it('is missing for a layer on another host', async () => {
    const overlay = join(dir, 'remote.qcow2');
    const remote = 'nbd://127.0.0.1/x';
    qemuImg('create', '-q', '-f', 'qcow2', '-u', '-b', remote, '-F', 'raw', overlay, '1M');
    expect(await messageOf(overlay)).toMatch(/; start the domain, then use --mode live$/);
  });
});

it.each([
  ['file:/a b', { path: '/a b' }],
  ['host_device:/dev/sdx', { path: '/dev/sdx' }],
  ['json:{"driver":"qcow2","file.filename":"/x"}', { path: '/x', format: 'qcow2' }],
  ['json:{"driver":"file","filename":"/x"}', { path: '/x' }],
  ['file:relative', undefined],
  ['nbd:unix:/x', undefined],
  ['json:{"driver":"raw","file":{"driver":"nbd","host":"x"}}', undefined],
  ['json:{"driver":"raw","offset":512,"file":{"driver":"file","filename":"/x"}}', undefined],
  ['json:{"file":{"driver":"https","filename":"/x"}}', undefined],
  ['json:{', undefined],
  ['/plain', undefined],
])('`namedFile` of %s', (name, expected) => {
  expect(namedFile(name)).toEqual(expected && { format: undefined, ...expected });
});
