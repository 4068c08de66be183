// Files that are packed, archived or encoded in a way that is not unpacked: recognised to be refused by name.
import type { ImageBytes } from './image-bytes.ts';

const ascii = (text: string) => Buffer.from(text, 'latin1');
const hex = (digits: string) => Buffer.from(digits, 'hex');

/** Marks at the start of the file. Marks of two bytes are in TESTS, with further conditions. */
const MARKS: readonly [string, Buffer][] = [
  ['gzip', hex('1f8b08')],
  ['xz', hex('fd377a585a00')],
  ['bzip2', ascii('BZh')],
  ['bzip3', ascii('BZ3v1')],
  ['lz4 (legacy)', hex('02214c18')],
  ['lzop', hex('894c5a4f000d0a1a0a')],
  ['lzip', ascii('LZIP')],
  ['lrzip', ascii('LRZI')],
  ['zpaq', ascii('zPQ')],
  ['zpaq', ascii('7kSt')],
  ['snappy', hex('ff060000734e61507059')],
  ['LZFSE', ascii('bvx')],
  ['zip', ascii('PK\x03\x04')],
  ['zip', ascii('PK\x05\x06')],
  ['zip', ascii('PK\x07\x08')],
  ['7z', hex('377abcaf271c')],
  ['rar', ascii('Rar!\x1a\x07')],
  ['ace', ascii('\x90**ACE**')],
  ['cab', ascii('MSCF\0\0\0\0')],
  ['xar', ascii('xar!')],
  ['ar', ascii('!<arch>\n')],
  ['rpm', hex('edabeedb')],
  ['cpio', ascii('070701')],
  ['cpio', ascii('070702')],
  ['cpio', ascii('070707')],
  ['WIM', ascii('MSWIM\0\0\0')],
  ['partclone', ascii('partclone-image')],
  ['ntfsclone', ascii('\0ntfsclone-image')],
  ['Android sparse image', hex('3aff26ed')],
  ['EWF (E01)', hex('455646090d0aff00')],
  ['compressed ISO (CISO)', ascii('CISO')],
  ['compressed ISO (ISZ)', ascii('IsZ!')],
  ['compressed ISO (DAA)', ascii('DAA\0')],
  ['Proxmox VMA', ascii('VMA\0')],
  ['saved state of libvirt', ascii('LibvirtQemud')],
  ['saved state of QEMU', ascii('QEVM')],
  ['age (encrypted)', ascii('age-encryption.org/')],
  ['OpenSSL (encrypted)', ascii('Salted__')],
  ['OpenPGP (encrypted)', ascii('-----BEGIN PGP ')],
];

const LZ4_FRAME = 0x184d2204;
const ZSTD_FRAME = 0xfd2fb528;
/** Versions 0.1 to 0.7 of the format. */
const OLD_ZSTD_FRAMES = [
  0xfd2fb51e, 0xfd2fb522, 0xfd2fb523, 0xfd2fb524, 0xfd2fb525, 0xfd2fb526, 0xfd2fb527,
];

const TESTS: readonly [string, (bytes: ImageBytes) => Promise<boolean>][] = [
  ['zstd', async (bytes) => (await firstFrame(bytes)) === ZSTD_FRAME],
  ['lz4', async (bytes) => (await firstFrame(bytes)) === LZ4_FRAME],
  ['zstd of an old version', isOldZstd],
  ['LZMA', isLzma],
  ['compress (.Z)', isCompress],
  ['tar (OVA)', isTar],
];

/** Returns what the file is packed with, in words for people; nothing for a disk. */
export async function findPackings(bytes: ImageBytes): Promise<string[]> {
  const head = await bytes.at(0, 32);
  const marked = MARKS.filter(([, mark]) => head.subarray(0, mark.byteLength).equals(mark));
  const tested = await Promise.all(
    TESTS.map(async ([name, test]): Promise<string[]> => ((await test(bytes)) ? [name] : [])),
  );
  return [...new Set([...marked.map(([name]) => name), ...tested.flat()])];
}

/** How many skippable frames are looked behind; `pzstd` writes one, at the start. */
const MAX_SKIPPED = 1024;

/**
 * The magic number of the first frame that holds data, behind skippable ones (0x184D2A50 to 5F),
 * which zstd and lz4 share. A file of skippable frames alone is zstd's; undefined for other files.
 * @see RFC 8878, 3.1.2
 */
export async function firstFrame(bytes: ImageBytes): Promise<number | undefined> {
  let at = 0;
  for (let skipped = 0; skipped <= MAX_SKIPPED; skipped += 1) {
    if (at > 0 && at === bytes.size) return ZSTD_FRAME;
    const head = await bytes.at(at, 8);
    if (head.byteLength < 4) return undefined;
    const magic = head.readUInt32LE(0);
    if (magic >>> 4 !== 0x184d2a5 || head.byteLength < 8) return magic;
    at += 8 + head.readUInt32LE(4);
  }
  return undefined;
}

async function isOldZstd(bytes: ImageBytes): Promise<boolean> {
  return OLD_ZSTD_FRAMES.includes((await firstFrame(bytes)) ?? 0);
}

/**
 * NOTE: LZMA alone has no magic number. These bytes are what its tools write: the usual properties,
 * a dictionary of 2^n or 2^n + 2^(n-1) bytes, a size below 256 GiB or none, and the 0 that each
 * stream of its range coder begins with.
 * @see lzma_alone_decoder of liblzma, which tests the same
 */
async function isLzma(bytes: ImageBytes): Promise<boolean> {
  const head = await bytes.at(0, 14);
  if (head.byteLength < 14 || head[0] !== 0x5d || head[13] !== 0) return false;
  const dictionary = head.readUInt32LE(1);
  const size = head.readBigUInt64LE(5);
  const isPower = (value: number) => value >= 4096 && Number.isInteger(Math.log2(value));
  const isSaneDictionary =
    dictionary === 0xffffffff || isPower(dictionary) || isPower((dictionary / 3) * 2);
  return isSaneDictionary && (size === 0xffffffffffffffffn || size < 1n << 38n);
}

/** 9 to 16 bits a code, and no flag that no version has. */
async function isCompress(bytes: ImageBytes): Promise<boolean> {
  const [a, b, flags = 0] = await bytes.at(0, 3);
  const bits = flags & 0x1f;
  return a === 0x1f && b === 0x9d && bits >= 9 && bits <= 16 && (flags & 0x60) === 0;
}

const TAR_HEADER = 512;
const TAR_CHECKSUM = { start: 148, end: 156 };

/** Detects a tar by its magic, or by the checksum of its header (V7 has no magic). */
async function isTar(bytes: ImageBytes): Promise<boolean> {
  const header = await bytes.at(0, TAR_HEADER);
  if (header.toString('latin1', 257, 262) === 'ustar') return true;
  if (header.byteLength < TAR_HEADER || header[0] === 0) return false;
  const { start, end } = TAR_CHECKSUM;
  const stated = /^ *([0-7]{1,7})[ \0]/.exec(header.toString('latin1', start, end))?.[1];
  if (stated === undefined) return false;
  header.fill(' ', start, end);
  const unsigned = header.reduce((sum, byte) => sum + byte, 0);
  // Some old tars add signed bytes.
  const signed = header.reduce((sum, byte) => sum + ((byte << 24) >> 24), 0);
  return [unsigned, signed].includes(Number.parseInt(stated, 8));
}
