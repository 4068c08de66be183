// Reads a VDI header: one file with no parent, whose blocks all lie within it.
import type { ImageBytes } from './image-bytes.ts';
import { damaged, FLATTEN_FIRST, imageRefused } from './refused.ts';

const HEADER_BYTES = 0x1c8;
const VERSION = 0x00010001;
/** Dynamic and fixed; 3 and 4 are undo and difference images. */
const TYPES = [1, 2];
const SECTOR = 512;
const BLOCK_BYTES = 1024 * 1024;
/** QEMU's own limit. */
const MAX_BLOCKS = 0x1fffffff;

/** The virtual size. @throws IMAGE_REFUSED */
export async function inspectVdi(bytes: ImageBytes): Promise<number> {
  const header = await bytes.at(0, HEADER_BYTES);
  if (header.byteLength < HEADER_BYTES) throw damaged('the VDI header is not whole');
  const version = header.readUInt32LE(0x44);
  if (version !== VERSION) {
    throw imageRefused(
      `is VDI version ${version >> 16}.${version & 0xffff}`,
      'convert it with VBoxManage',
    );
  }
  const isNull = (at: number) => header.subarray(at, at + 16).every((byte) => byte === 0);
  if (!TYPES.includes(header.readUInt32LE(0x4c)) || !isNull(0x1a8) || !isNull(0x1b8)) {
    throw imageRefused('is the difference to a parent image', FLATTEN_FIRST);
  }
  if (header.readUInt32LE(0x168) !== SECTOR || header.readUInt32LE(0x178) !== BLOCK_BYTES) {
    throw imageRefused('has unusual sector or block sizes', 'convert it with VBoxManage');
  }
  const size = Number(header.readBigUInt64LE(0x170));
  const blocks = header.readUInt32LE(0x180);
  const allocated = header.readUInt32LE(0x184);
  if (blocks > MAX_BLOCKS || allocated > blocks) throw damaged('its block counts are wrong');
  if (size > blocks * BLOCK_BYTES) throw damaged('its blocks cover less than the size it claims');
  const map = header.readUInt32LE(0x154);
  const data = header.readUInt32LE(0x158);
  if (map + blocks * 4 > bytes.size || data + allocated * BLOCK_BYTES > bytes.size) {
    throw damaged('its blocks lie beyond its end');
  }
  return size;
}
