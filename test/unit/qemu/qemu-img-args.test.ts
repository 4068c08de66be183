// The argument lists for qemu-img: formats named, hostile names harmless, compression refused early.
import { describe, expect, it } from 'vitest';
import {
  compareArgs,
  convertArgs,
  createArgs,
  infoArgs,
  measureArgs,
  requireCompression,
  supportsCompression,
} from '#built/qemu/qemu-img-args.js';

describe('file names', () => {
  it('are absolute and come last, after --, so that no name is an option or a protocol', () => {
    for (const name of ['-f', '--help', 'json:{}', 'nbd:host:1', 'a,b:c', 'sp ace "x"']) {
      const args = infoArgs({ path: name, format: 'raw' });
      expect(args.slice(0, -1)).toEqual(['info', '--output=json', '-f', 'raw', '--']);
      expect(args.at(-1)).toBe(`${import.meta.dirname.replace(/\/test\/.*/, '')}/${name}`);
    }
  });

  it('must not be empty or hold a NUL byte', () => {
    expect(() => infoArgs({ path: '', format: 'raw' })).toThrow(/file name/);
    expect(() => infoArgs({ path: '/a\0b', format: 'raw' })).toThrow(/file name/);
  });
});

it('a source outside this host is opened as its block node', () => {
  const server = { type: 'inet', host: 'h', port: '10809' };
  const node = { driver: 'nbd', server, export: 'a,b' };
  const source = { path: 'nbd://h/a,b', format: 'qcow2', node };
  const nameOf = (args: string[]) => JSON.parse(args.at(-1)?.slice('json:'.length) ?? '');
  // What its header names is not opened for info, and nothing else is opened when it is read.
  expect(nameOf(infoArgs(source))).toEqual({ driver: 'qcow2', file: node });
  expect(nameOf(infoArgs({ ...source, backingChain: [] }))).toEqual({
    ...{ driver: 'qcow2', file: node, backing: null },
  });
});

describe('an internal snapshot', () => {
  it('is named by id and name, with commas escaped', () => {
    const source = { path: '/d', format: 'qcow2', snapshot: { id: '3', name: 'a,snapshot.id=1' } };
    const how = ['-l', 'snapshot.id=3,snapshot.name=a,,snapshot.id=1', '-f', 'qcow2', '--', '/d'];
    expect(measureArgs(source, 'qcow2').slice(4)).toEqual(how);
  });
});

describe('formats', () => {
  it('are named for source, target and backing file', () => {
    expect(createArgs('/d', 1024, { path: '/b', format: 'raw' })).toEqual(
      'create -q -f qcow2 -b /b -F raw -- /d 1024'.split(' '),
    );
    expect(createArgs('/d', 1024, null)).toEqual('create -q -f qcow2 -- /d 1024'.split(' '));
    expect(compareArgs({ path: '/a', format: 'qcow2' }, { path: '/b', format: 'raw' })).toEqual(
      'compare -f qcow2 -F raw -- /a /b'.split(' '),
    );
    expect(measureArgs({ path: '/a', format: 'qcow2', shared: true }, 'raw')).toEqual(
      'measure --output=json -O raw -U -f qcow2 -- /a'.split(' '),
    );
  });

  it('are refused if they are no plain names', () => {
    expect(() => infoArgs({ path: '/a', format: 'raw,x=y' })).toThrow(/not the name of a disk/);
  });
});

describe('convert', () => {
  const source = { path: '/s', format: 'qcow2' };
  const argsFor = (format: 'qcow2' | 'raw' | 'vmdk' | 'vhdx', compress: 'none' | 'zstd' | 'zlib') =>
    convertArgs(source, { path: '/t', format, cache: 'none' }, compress).join(' ');
  const start = 'convert -p -t none -T writeback';

  it('writes in parallel and unordered, and compresses if asked to', () => {
    expect(argsFor('qcow2', 'none')).toBe(`${start} -m 8 -W -O qcow2 -f qcow2 -- /s /t`);
    expect(argsFor('qcow2', 'zstd')).toBe(
      `${start} -m 8 -W -c -O qcow2 -o compression_type=zstd -f qcow2 -- /s /t`,
    );
    expect(argsFor('raw', 'none')).toBe(`${start} -m 8 -W -O raw -f qcow2 -- /s /t`);
    expect(argsFor('vhdx', 'none')).toContain('-O vhdx -o subformat=dynamic');
  });

  it('keeps a streamOptimized vmdk in order', () => {
    expect(argsFor('vmdk', 'none')).toContain('-W -O vmdk -o subformat=monolithicSparse');
    expect(argsFor('vmdk', 'zlib')).toContain('-m 8 -c -O vmdk -o subformat=streamOptimized');
  });

  it('opens exactly the given layers', () => {
    const backingChain = [
      { path: '/b,:"', format: 'qcow2' },
      { path: '/r', format: 'raw' },
    ];
    const args = convertArgs(
      { ...source, backingChain },
      { path: '/t', format: 'raw', cache: 'writeback' },
      'none',
    );
    expect(JSON.parse(args.at(-2)?.replace(/^json:/, '') ?? '')).toEqual({
      driver: 'qcow2',
      file: { filename: '/s' },
      backing: {
        driver: 'qcow2',
        file: { filename: '/b,:"' },
        backing: { driver: 'raw', file: { filename: '/r' } },
      },
    });
  });
});

describe('compression', () => {
  it('depends on the format', () => {
    const able = ['qcow2', 'raw', 'vmdk', 'vdi', 'vhdx'].map((format) =>
      (['none', 'zlib', 'zstd'] as const).filter((compress) =>
        supportsCompression(format as 'raw', compress),
      ),
    );
    expect(able).toEqual([
      ['none', 'zlib', 'zstd'],
      ['none'],
      ['none', 'zlib'],
      ['none'],
      ['none'],
    ]);
  });

  it('throws USAGE if the format does not have it, with a hint that names what it has', () => {
    expect(() => requireCompression('vmdk', 'zstd')).toThrow(
      expect.objectContaining({ code: 'USAGE', hint: expect.stringContaining('none or zlib') }),
    );
  });
});
