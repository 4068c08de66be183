// Images that must not come in, built from bytes: each with the name of its trick.
import { Buffer } from 'node:buffer';

const SECTOR = 512;
const MIB = 1024 * 1024;

export interface HostileImage {
  name: string;
  bytes: Buffer;
  /** In the refusal. */
  message: RegExp;
}

interface Qcow2 {
  version?: number;
  backingOffset?: bigint;
  backing?: string;
  encryption?: number;
  clusterBits?: number;
  size?: bigint;
  l1Entries?: number;
  incompatible?: bigint;
  extensions?: readonly { type: number; data: Buffer }[];
  fileBytes?: number;
}

/** Returns a qcow2 of 4 clusters with empty tables, valid except for the given fields. */
export function qcow2(options: Qcow2 = {}): Buffer {
  const clusterBits = options.clusterBits ?? 16;
  const cluster = 65536;
  const file = Buffer.alloc(Math.max(options.fileBytes ?? 4 * cluster, 4096));
  file.write('QFI\xfb', 0, 'latin1');
  file.writeUInt32BE(options.version ?? 3, 4);
  const backing = Buffer.from(options.backing ?? '');
  file.writeBigUInt64BE(options.backingOffset ?? (backing.byteLength > 0 ? 1024n : 0n), 8);
  file.writeUInt32BE(backing.byteLength, 16);
  backing.copy(file, 1024);
  file.writeUInt32BE(clusterBits, 20);
  file.writeBigUInt64BE(options.size ?? BigInt(MIB), 24);
  file.writeUInt32BE(options.encryption ?? 0, 32);
  file.writeUInt32BE(options.l1Entries ?? 1, 36);
  file.writeBigUInt64BE(BigInt(3 * cluster), 40);
  file.writeBigUInt64BE(BigInt(cluster), 48);
  file.writeUInt32BE(1, 56);
  file.writeBigUInt64BE(options.incompatible ?? 0n, 72);
  file.writeUInt32BE(4, 96);
  file.writeUInt32BE(104, 100);
  let at = 104;
  for (const { type, data } of options.extensions ?? []) {
    file.writeUInt32BE(type, at);
    file.writeUInt32BE(data.byteLength, at + 4);
    data.copy(file, at + 8);
    at += 8 + Math.ceil(data.byteLength / 8) * 8;
  }
  return file.subarray(0, options.fileBytes ?? file.byteLength);
}

interface Vmdk {
  capacity?: bigint;
  descriptor?: string;
  version?: number;
  magic?: string;
  directory?: bigint;
}

export const GOOD_DESCRIPTOR = `# Disk DescriptorFile
version=1
CID=12345678
parentCID=ffffffff
createType="monolithicSparse"
RW 2048 SPARSE "disk.vmdk"
ddb.adapterType = "ide"
`;

/** Returns a sparse VMDK with a header that is valid except for the given fields. */
export function vmdk(options: Vmdk = {}): Buffer {
  const file = Buffer.alloc(128 * SECTOR);
  file.write(options.magic ?? 'KDMV', 0, 'latin1');
  file.writeUInt32LE(options.version ?? 1, 4);
  file.writeBigUInt64LE(options.capacity ?? 2048n, 12);
  file.writeBigUInt64LE(128n, 20);
  file.writeBigUInt64LE(1n, 28);
  file.writeBigUInt64LE(20n, 36);
  file.writeUInt32LE(512, 44);
  file.writeBigUInt64LE(options.directory ?? 26n, 56);
  file.write(options.descriptor ?? GOOD_DESCRIPTOR, SECTOR, 'latin1');
  return file;
}

function withDescriptor(change: (text: string) => string): Buffer {
  return vmdk({ descriptor: change(GOOD_DESCRIPTOR) });
}

function put(file: Buffer, offset: number, text: string): Buffer {
  const copy = Buffer.alloc(Math.max(file.byteLength, offset + text.length));
  file.copy(copy);
  copy.write(text, offset, 'latin1');
  return copy;
}

function raw(): Buffer {
  return Buffer.alloc(MIB, 'data of a disk ');
}

const PASSWD = '/etc/passwd';

function hex(digits: string, bytes = 4096): Buffer {
  const file = Buffer.alloc(bytes, 'x');
  Buffer.from(digits, 'hex').copy(file);
  return file;
}

/** Returns the header of a V7 tar: it has no magic, only a checksum. */
function oldTar(): Buffer {
  const header = Buffer.alloc(1024);
  header.write('model.ovf\0', 0);
  header.write('0000644\0', 100);
  header.write('        ', 148);
  const sum = header.subarray(0, 512).reduce((total, byte) => total + byte, 0);
  header.write(`${sum.toString(8).padStart(6, '0')}\0 `, 148);
  return header;
}

const SKIPPABLE = '5f2a4d18040000000badcafe';

/** Files of packers that are not unpacked, and the name in the refusal. */
export const PACKED_FILES: [string, Buffer][] = [
  ['lz4', hex('04224d18')],
  ['lz4', hex(`${SKIPPABLE}04224d18`)],
  ['lz4 (legacy)', hex('02214c18')],
  ['zstd', hex(`${SKIPPABLE}${SKIPPABLE}28b52ffd`)],
  ['zstd', Buffer.from(SKIPPABLE, 'hex')],
  ['zstd of an old version', hex('25b52ffd')],
  ['LZMA', hex('5d00008000ffffffffffffffff00')],
  ['LZMA', hex('5d00000001000010000000000000')],
  ['lzop', hex('894c5a4f000d0a1a0a')],
  ['compress (.Z)', hex('1f9d90')],
  ['lzip', put(raw(), 0, 'LZIP')],
  ['rar', put(raw(), 0, 'Rar!\x1a\x07\0')],
  ['zip', put(raw(), 0, 'PK\x05\x06')],
  ['7z', hex('377abcaf271c')],
  ['bzip2', put(raw(), 0, 'BZh9')],
  ['tar (OVA)', oldTar()],
  ['tar (OVA)', put(raw(), 257, 'ustar')],
];

/** Every trick that is known to work on some program. */
export const HOSTILE_IMAGES: readonly HostileImage[] = [
  { name: 'qcow2 with a backing file', bytes: qcow2({ backing: PASSWD }), message: /backing file/ },
  {
    name: 'qcow2 with a json: backing file',
    bytes: qcow2({ backing: `json:{"driver":"raw","file.filename":"${PASSWD}"}` }),
    message: /backing file/,
  },
  {
    name: 'qcow2 with the place of a backing file and no name',
    bytes: qcow2({ backingOffset: 1024n }),
    message: /backing file/,
  },
  {
    name: 'qcow2 with an external data file (CVE-2024-32498)',
    bytes: qcow2({
      incompatible: 4n,
      extensions: [{ type: 0x44415441, data: Buffer.from(PASSWD) }],
    }),
    message: /another file/,
  },
  {
    name: 'qcow2 that names a data file without saying so',
    bytes: qcow2({ extensions: [{ type: 0x44415441, data: Buffer.from(PASSWD) }] }),
    message: /another file/,
  },
  {
    name: 'qcow2 with unknown features',
    bytes: qcow2({ incompatible: 1n << 17n }),
    message: /features that are not supported/,
  },
  { name: 'qcow2, encrypted', bytes: qcow2({ encryption: 2 }), message: /encrypted/ },
  {
    name: 'qcow2, marked corrupt',
    bytes: qcow2({ incompatible: 2n }),
    message: /marked as damaged/,
  },
  {
    name: 'qcow2 of 8 EiB',
    bytes: qcow2({ size: 1n << 62n, l1Entries: 4_000_000 }),
    message: /beyond its end|claims a size|cover less/,
  },
  {
    name: 'qcow2 with a giant table',
    bytes: qcow2({ l1Entries: 0xffff_ffff }),
    message: /tables of an impossible size/,
  },
  {
    name: 'qcow2 of 100 TiB with tables for it',
    bytes: qcow2({ size: 100n << 40n, l1Entries: 204_800, fileBytes: 3 * 65536 + 204_800 * 8 }),
    message: /claims a size/,
  },
  { name: 'qcow2 with wrong clusters', bytes: qcow2({ clusterBits: 63 }), message: /cluster size/ },
  { name: 'qcow2, cut in its header', bytes: qcow2().subarray(0, 60), message: /incomplete/ },
  { name: 'qcow2, cut in its tables', bytes: qcow2({ fileBytes: 65536 }), message: /incomplete/ },
  { name: 'qcow version 1', bytes: qcow2({ version: 1 }), message: /qcow version 1/ },
  { name: 'QED', bytes: put(raw(), 0, 'QED\0'), message: /is QED/ },
  {
    name: 'VMDK descriptor with a flat extent (CVE-2022-47951)',
    bytes: Buffer.from(
      GOOD_DESCRIPTOR.replace('monolithicSparse', 'monolithicFlat').replace(
        'SPARSE "disk.vmdk"',
        `FLAT "${PASSWD}" 0`,
      ),
    ),
    message: /VMDK descriptor/,
  },
  {
    name: 'VMDK descriptor behind comments',
    bytes: Buffer.from(`\n# nothing to see\n\nversion=1\nRW 1 FLAT "${PASSWD}" 0\n`),
    message: /VMDK descriptor/,
  },
  {
    name: 'sparse VMDK without capacity, so that its descriptor counts (CVE-2022-47951)',
    bytes: vmdk({
      capacity: 0n,
      descriptor: GOOD_DESCRIPTOR.replace('SPARSE "disk.vmdk"', `FLAT "${PASSWD}" 0`),
    }),
    message: /other files/,
  },
  {
    name: 'sparse VMDK that calls itself monolithicFlat',
    bytes: withDescriptor((text) => text.replace('monolithicSparse', 'monolithicFlat')),
    message: /monolithicFlat/,
  },
  {
    name: 'sparse VMDK with a second, flat extent',
    bytes: withDescriptor((text) => `${text}RW 1 FLAT "${PASSWD}" 0\n`),
    message: /not allowed/,
  },
  {
    name: 'sparse VMDK whose extent has a path',
    bytes: withDescriptor((text) => text.replace('disk.vmdk', PASSWD)),
    message: /path/,
  },
  {
    name: 'sparse VMDK with two sparse extents',
    bytes: withDescriptor((text) => `${text}RW 1 SPARSE "other.vmdk"\n`),
    message: /2 extents/,
  },
  {
    name: 'sparse VMDK with a parent',
    bytes: withDescriptor((text) => `${text}parentFileNameHint="${PASSWD}"\n`),
    message: /parent/,
  },
  {
    name: 'sparse VMDK with the checksum of a parent',
    bytes: withDescriptor((text) => text.replace('ffffffff', '12345678')),
    message: /parent/,
  },
  {
    name: 'sparse VMDK with text behind the end of its descriptor',
    bytes: withDescriptor((text) => `${text}\0RW 1 FLAT "${PASSWD}" 0\n`),
    message: /text after its descriptor/,
  },
  {
    name: 'sparse VMDK that is a stream without its end',
    bytes: vmdk({ directory: 0xffffffffffffffffn }),
    message: /footer/,
  },
  {
    name: 'sparse VMDK of 4 EiB',
    bytes: vmdk({ capacity: 1n << 53n }),
    message: /beyond its end/,
  },
  { name: 'VMDK of ESX', bytes: vmdk({ magic: 'COWD' }), message: /ESX/ },
  { name: 'VHD, by its footer', bytes: put(raw(), MIB - 512, 'conectix'), message: /is VHD/ },
  { name: 'LUKS', bytes: put(raw(), 0, 'LUKS\xba\xbe'), message: /LUKS/ },
  { name: 'qcow2 that is an ISO too', bytes: put(qcow2(), 0x8001, 'CD001'), message: /several/ },
  { name: 'qcow2 with a GPT', bytes: put(qcow2(), 512, 'EFI PART'), message: /several/ },
  {
    name: 'VMDK with a boot sector',
    bytes: put(vmdk(), 510, '\x55\xaa'),
    message: /several/,
  },
  {
    name: 'qcow2 with the footer of a VHD',
    bytes: put(qcow2(), 4 * 65536 - 512, 'conectix'),
    message: /several/,
  },
  {
    name: 'VDI that is qcow2 too',
    bytes: put(qcow2(), 0x40, '\x7f\x10\xda\xbe'),
    message: /several/,
  },
  {
    name: 'VDI, cut',
    bytes: put(Buffer.alloc(256), 0x40, '\x7f\x10\xda\xbe'),
    message: /incomplete/,
  },
  { name: 'VHDX, cut', bytes: put(Buffer.alloc(300_000), 0, 'vhdxfile'), message: /incomplete/ },
  { name: 'an empty file', bytes: Buffer.alloc(0), message: /empty/ },
  { name: 'a bzip2 file', bytes: put(raw(), 0, 'BZh9'), message: /bzip2/ },
  { name: 'a tar file', bytes: put(raw(), 257, 'ustar'), message: /tar/ },
];
