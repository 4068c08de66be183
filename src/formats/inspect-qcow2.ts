// Reads a qcow2 header for what must not be there: other files, encryption, unknown features.
import type { ImageBytes } from './image-bytes.ts';
import { CONVERT_AT_SOURCE, damaged, FETCH_AGAIN, FLATTEN_FIRST, imageRefused } from './refused.ts';

/** Incompatible features, by bit; QEMU's docs/interop/qcow2.rst. */
const DIRTY = 0n;
const CORRUPT = 1n;
const DATA_FILE = 2n;
const COMPRESSION = 3n;
const EXTENDED_L2 = 4n;
const KNOWN = [DIRTY, CORRUPT, DATA_FILE, COMPRESSION, EXTENDED_L2];

const EXTENSION = { end: 0, dataFile: 0x44415441, encryption: 0x0537be77 };
/** QEMU's own limit of the first-level table. */
const MAX_L1_BYTES = 32 * 1024 * 1024;
const MAX_EXTENSIONS = 64;

/** The virtual size. @throws IMAGE_REFUSED */
export async function inspectQcow2(bytes: ImageBytes): Promise<number> {
  const header = await bytes.at(0, 112);
  if (header.byteLength < 72) throw damaged('the qcow2 header is not whole');
  const version = header.readUInt32BE(4);
  if (version !== 2 && version !== 3) {
    throw imageRefused(`is qcow version ${version}`, 'if you trust it, convert it to qcow2');
  }
  if (header.readBigUInt64BE(8) !== 0n || header.readUInt32BE(16) !== 0) {
    throw imageRefused('has a backing file', FLATTEN_FIRST);
  }
  if (header.readUInt32BE(32) !== 0) throw encrypted();
  const headerBytes = version === 2 ? 72 : checkVersion3(header);
  checkTables(header, bytes.size);
  await checkExtensions(bytes, headerBytes, 2 ** header.readUInt32BE(20));
  return Number(header.readBigUInt64BE(24));
}

function checkVersion3(header: Buffer): number {
  if (header.byteLength < 104) throw damaged('the qcow2 header is not whole');
  const features = header.readBigUInt64BE(72);
  const has = (bit: bigint) => ((features >> bit) & 1n) === 1n;
  if (has(DATA_FILE)) throw imageRefused('keeps its data in another file', FLATTEN_FIRST);
  if (KNOWN.reduce((rest, bit) => rest & ~(1n << bit), features) !== 0n) {
    throw imageRefused(
      'needs qcow2 features that are not supported',
      'convert it to a qcow2 with fewer features',
    );
  }
  if (has(CORRUPT) || has(DIRTY)) {
    throw imageRefused(
      'is marked as damaged or was not closed',
      'if you trust it, repair it with `qemu-img check -r all`',
    );
  }
  const length = header.readUInt32BE(100);
  if (length < 104 || length % 8 !== 0 || length > 4096)
    throw damaged('its header length is wrong');
  const compression = length > 104 && header.byteLength > 104 ? header.readUInt8(104) : 0;
  if (has(COMPRESSION) !== (compression !== 0) || compression > 1) {
    throw imageRefused('has an unknown compression type', CONVERT_AT_SOURCE);
  }
  return length;
}

function checkTables(header: Buffer, size: number): void {
  const clusterBits = header.readUInt32BE(20);
  if (clusterBits < 9 || clusterBits > 21) throw damaged('its cluster size is wrong');
  const l1Bytes = header.readUInt32BE(36) * 8;
  if (l1Bytes > MAX_L1_BYTES)
    throw imageRefused('claims tables of an impossible size', FETCH_AGAIN);
  const refcountBytes = header.readUInt32BE(56) * 2 ** clusterBits;
  checkInside('its first-level table', header.readBigUInt64BE(40), l1Bytes, size);
  checkInside('its reference counts', header.readBigUInt64BE(48), refcountBytes, size);
  // An entry of the first level covers a cluster full of second-level entries of 8 (or 16) bytes.
  const covered = header.readUInt32BE(36) * 2 ** (2 * clusterBits - 3);
  if (Number(header.readBigUInt64BE(24)) > covered) {
    throw damaged('its tables cover less than the size it claims');
  }
}

function checkInside(what: string, offset: bigint, length: number, size: number): void {
  if (Number(offset) + length > size) throw damaged(`${what} lies beyond its end`);
}

async function checkExtensions(bytes: ImageBytes, start: number, limit: number): Promise<void> {
  let at = start;
  for (let count = 0; count < MAX_EXTENSIONS && at + 8 <= limit; count += 1) {
    const head = await bytes.at(at, 8);
    if (head.byteLength < 8) return;
    const type = head.readUInt32BE(0);
    const length = head.readUInt32BE(4);
    if (type === EXTENSION.end) return;
    if (type === EXTENSION.dataFile)
      throw imageRefused('names another file for its data', FLATTEN_FIRST);
    if (type === EXTENSION.encryption) throw encrypted();
    if (length > limit) throw damaged('a header extension is longer than the header');
    at += 8 + Math.ceil(length / 8) * 8;
  }
  if (at + 8 <= limit) throw damaged('it has header extensions without end');
}

function encrypted() {
  return imageRefused('is encrypted', 'decrypt it with `qemu-img convert` where its key is');
}
