// The claims of a file's name are compared with its bytes, through all packings.
import { describe, expect, it } from 'vitest';
import type { DiskFormat } from '#built/core/model.js';
import { checkNames, readName } from '#built/operations/import/name-claims.js';

describe('a name says', () => {
  it.each([
    ['disk.qcow2', [], 'qcow2'],
    ['DISK.QCOW2.GZ', ['gzip'], 'qcow2'],
    ['disk.vmdk.xz', ['xz'], 'vmdk'],
    ['disk.raw.gz.zst', ['zstd', 'gzip'], 'raw'],
    ['disk.tgz', ['gzip', 'tar'], undefined],
    ['disk.Z', ['compress'], undefined],
    ['appliance.ova', ['tar'], undefined],
    ['debian-12.7.0-amd64.iso', [], 'iso'],
    ['disk.vhd', [], 'VHD'],
    ['disk.img', [], undefined],
    ['qcow2', [], undefined],
    ['.gz', ['gzip'], undefined],
    ['', [], undefined],
    ['x.constructor', [], undefined],
  ])('%s', (name, packings, format) => {
    expect(readName(name)).toMatchObject({ name, packings, format });
  });
});

describe('a name that contradicts the bytes is refused', () => {
  it.each<[string, string[], DiskFormat, RegExp]>([
    ['disk.qcow2', [], 'raw', /raw by its bytes, not qcow2/],
    ['disk.QCOW2', [], 'vmdk', /not qcow2/],
    ['disk.raw', [], 'qcow2', /not raw/],
    ['disk.qcow2.gz', ['gzip'], 'raw', /not qcow2/],
    ['disk.raw.gz', [], 'raw', /not packed with gzip/],
    ['disk.raw.gz', ['xz'], 'raw', /not packed with gzip/],
    ['disk.raw.gz.xz', ['gzip', 'xz'], 'raw', /not packed with gzip/],
    ['disk.tar.gz', ['gzip'], 'raw', /packed with tar/],
    ['disk.br', [], 'raw', /packed with brotli/],
    ['disk.bz2', [], 'qcow2', /packed with bzip2/],
    ['disk.vhd', [], 'raw', /not VHD/],
    ['cd.iso', [], 'raw', /not iso/],
  ])('%s, unpacked from %j, is %s', (name, removed, format, expected) => {
    const check = () => checkNames([name], { removed, format });
    expect(check).toThrow(expect.objectContaining({ code: 'IMAGE_REFUSED' }));
    expect(check).toThrow(expected);
  });

  it('as one of several names of a download', () => {
    const names = ['latest', 'disk.vmdk'];
    expect(() => checkNames(names, { removed: [], format: 'qcow2' })).toThrow(/not vmdk/);
  });
});

describe('a name that agrees with the bytes, or implies less, is accepted', () => {
  it.each<[string, string[], DiskFormat]>([
    ['disk.qcow2', [], 'qcow2'],
    ['disk.qcow2', ['gzip'], 'qcow2'],
    ['disk.qcow2.gz', ['gzip'], 'qcow2'],
    ['disk.qcow2.gz', ['brotli', 'gzip'], 'qcow2'],
    ['disk.qcow2.gz.xz', ['xz', 'gzip'], 'qcow2'],
    ['noble-cloudimg.img', [], 'qcow2'],
    ['hybrid.raw', [], 'iso'],
    ['download', ['deflate', 'zstd'], 'vdi'],
  ])('%s, unpacked from %j, is %s', (name, removed, format) => {
    expect(() => checkNames([name], { removed, format })).not.toThrow();
  });
});
