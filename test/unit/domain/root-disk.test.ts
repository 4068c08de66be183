// The choice of the root disk, and the reasons for the disks that were passed over.
import { describe, expect, test } from 'vitest';
import { chooseDisks } from '#built/domain/choose-disk.js';
import { describeRoot } from '#built/domain/root-disk.js';
import { describeSeed } from '#built/domain/seed-disk.js';
import { parseDomainXml } from '#built/libvirt/xml/domain-xml.js';

interface Shape {
  order?: number;
  readonly?: boolean;
  seed?: string;
  device?: string;
}

function domainOf(shapes: Readonly<Record<string, Shape>>) {
  const disks = Object.entries(shapes).map(([target, { order, readonly, device = 'disk' }]) => {
    const boot = order === undefined ? '' : `<boot order='${order}'/>`;
    return `<disk type='file' device='${device}'><driver name='qemu' type='raw'/><source file='/d/${target}'/><target dev='${target}' bus='virtio'/>${boot}${readonly ? '<readonly/>' : ''}</disk>`;
  });
  const parsed = parseDomainXml(
    `<domain type='kvm'><name>web01</name><os><type>hvm</type><boot dev='hd'/></os><devices>${disks.join('')}</devices></domain>`,
  );
  const marked = parsed.disks.map((disk) => ({ ...disk, seed: shapes[disk.target]?.seed ?? null }));
  return { ...parsed, disks: marked };
}

const SEED = 'a cloud-init seed (label cidata)';

describe('the root disk', () => {
  test.each<[string, Record<string, Shape>, string, string | null]>([
    ['the only disk, also if it is read-only', { vda: { readonly: true } }, 'vda', null],
    ['the first one', { vda: {}, vdb: {} }, 'vda', null],
    [
      'the first writable one behind one that is read-only',
      { sda: { readonly: true }, vdb: {} },
      'vdb',
      'vdb is taken for the root disk: sda is read-only; choose another with --disk',
    ],
    [
      'the first one behind a writable seed',
      { sda: { seed: SEED }, vdb: {}, vdc: {} },
      'vdb',
      `vdb is taken for the root disk: sda is ${SEED}; choose another with --disk`,
    ],
    [
      'a read-only disk rather than a seed',
      { sda: { seed: SEED }, vdb: { readonly: true } },
      'vdb',
      `vdb is taken for the root disk: sda is ${SEED}; choose another with --disk`,
    ],
    [
      'the first in the boot order',
      { vda: { order: 2 }, vdb: {}, vdc: { order: 1 } },
      'vdc',
      'vdc is taken for the root disk: vda comes later in the boot order, vdb has no boot order; choose another with --disk',
    ],
    [
      'a read-only disk that the guest boots from',
      { vda: {}, vdb: { order: 1, readonly: true } },
      'vdb',
      'vdb is taken for the root disk: vda has no boot order; choose another with --disk',
    ],
    [
      'the second in the boot order behind a read-only medium',
      { vda: { order: 2 }, sda: { order: 1, readonly: true } },
      'vda',
      'vda is taken for the root disk: sda is read-only; choose another with --disk',
    ],
    [
      'no seed, though it is first in the boot order',
      { sda: { order: 1, seed: SEED }, vda: {} },
      'vda',
      `vda is taken for the root disk: sda is ${SEED}; choose another with --disk`,
    ],
    ['no CD-ROM', { sda: { device: 'cdrom', order: 1 }, vda: {} }, 'vda', null],
  ])('is %s', (_, shapes, target, reason) => {
    const domain = domainOf(shapes);
    expect(chooseDisks(domain, 'root')[0].target).toBe(target);
    expect(describeRoot(domain.disks)).toBe(reason);
  });

  test('is the first of several named disks in root order', () => {
    const domain = domainOf({ sda: { readonly: true }, vdb: {} });
    expect(chooseDisks(domain, ['sda', 'vdb']).map(({ target }) => target)).toEqual(['vdb', 'sda']);
  });
});

/** The first bytes of a disk with these texts in it. */
function head(texts: Readonly<Record<number, string>>, ext = false): Buffer {
  const bytes = Buffer.alloc(64 * 1024);
  for (const [at, text] of Object.entries(texts)) bytes.write(text, Number(at), 'latin1');
  if (ext) bytes.writeUInt16LE(0xef53, 1080);
  return bytes;
}

test.each<[string, Buffer, string | null]>([
  ['an ISO of cloud-init', head({ 32769: 'CD001', 32808: 'cidata   ' }), SEED],
  [
    'a vfat config drive',
    head({ 43: 'CONFIG-2   ', 54: 'FAT16' }),
    'a config drive (label CONFIG-2)',
  ],
  ['a FAT32 seed', head({ 71: 'CIDATA     ', 82: 'FAT32' }), 'a cloud-init seed (label CIDATA)'],
  ['an ext file system with that label', head({ 1144: 'cidata' }, true), SEED],
  ['any other ISO', head({ 32769: 'CD001', 32808: 'Debian' }), 'an ISO 9660 image'],
  ['a vfat partition of data', head({ 43: 'DATA       ', 54: 'FAT16' }), null],
  ['an ext root file system', head({ 1144: 'rootfs' }, true), null],
  ['an empty disk', head({}), null],
])('`describeSeed` of %s', (_, bytes, expected) => {
  expect(describeSeed(bytes)).toBe(expected);
});
