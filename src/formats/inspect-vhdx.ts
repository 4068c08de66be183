// Reads a VHDX's tables: a finished file with no parent, after Microsoft's [MS-VHDX].
import type { ImageBytes } from './image-bytes.ts';
import { CONVERT_AT_SOURCE, DO_NOT_USE, damaged, FLATTEN_FIRST, imageRefused } from './refused.ts';

const KIB = 1024;
const HEADERS = [64 * KIB, 128 * KIB];
const REGION_TABLE = 192 * KIB;
const MAX_REGIONS = 2047;
const METADATA_TABLE_BYTES = 64 * KIB;

const GUID = {
  bat: guid('2dc27766-f623-4200-9d64-115e9bfd4a08'),
  metadata: guid('8b7ca206-4790-4b9a-b8fe-575f050f886e'),
  fileParameters: guid('caa16737-fa36-4d43-b3b6-33f0aa44e76b'),
  virtualSize: guid('2fa54224-cd1b-4876-b211-5dbed83bf4b8'),
  parentLocator: guid('a8d35f2d-b30b-454d-abf7-d3d84834ab0c'),
};
const HAS_PARENT = 2;

/** The virtual size. @throws IMAGE_REFUSED */
export async function inspectVhdx(bytes: ImageBytes): Promise<number> {
  await checkLog(bytes);
  const regions = await readRegions(bytes);
  for (const [, { offset, length }] of regions) {
    if (offset + length > bytes.size) throw damaged('one of its regions lies beyond its end');
  }
  const metadata = regions.get(GUID.metadata);
  if (metadata === undefined || !regions.has(GUID.bat)) throw damaged('it lacks its tables');
  return readMetadata(bytes, metadata.offset);
}

/** A log that is not empty has writes that are not in their places yet. */
async function checkLog(bytes: ImageBytes): Promise<void> {
  const headers = await Promise.all(HEADERS.map((at) => bytes.at(at, 4 * KIB)));
  const whole = headers.filter(
    (header) => header.byteLength >= 80 && header.toString('latin1', 0, 4) === 'head',
  );
  if (whole.length === 0) throw damaged('it has no header');
  const newest = whole.reduce((a, b) => (a.readBigUInt64LE(8) >= b.readBigUInt64LE(8) ? a : b));
  if (newest.subarray(48, 64).some((byte) => byte !== 0)) {
    throw imageRefused(
      'was not closed: its log holds writes',
      'open and close it with the program that made it',
    );
  }
}

async function readRegions(
  bytes: ImageBytes,
): Promise<Map<string, { offset: number; length: number }>> {
  const table = await bytes.at(REGION_TABLE, 64 * KIB);
  if (table.byteLength < 64 * KIB || table.toString('latin1', 0, 4) !== 'regi') {
    throw damaged('it has no region table');
  }
  const count = table.readUInt32LE(8);
  if (count > MAX_REGIONS) throw damaged('its region table is wrong');
  const regions = new Map<string, { offset: number; length: number }>();
  for (let index = 0; index < count; index += 1) {
    const at = 16 + index * 32;
    const name = table.toString('hex', at, at + 16);
    const offset = Number(table.readBigUInt64LE(at + 16));
    if (regions.has(name)) throw imageRefused('names a region twice', DO_NOT_USE);
    const known = name === GUID.bat || name === GUID.metadata;
    if (!known) throw imageRefused('needs unknown regions', CONVERT_AT_SOURCE);
    regions.set(name, { offset, length: table.readUInt32LE(at + 24) });
  }
  return regions;
}

async function readMetadata(bytes: ImageBytes, start: number): Promise<number> {
  const table = await bytes.at(start, METADATA_TABLE_BYTES);
  if (table.byteLength < 32 || table.toString('latin1', 0, 8) !== 'metadata') {
    throw damaged('it has no metadata');
  }
  const count = table.readUInt16LE(10);
  let size: number | undefined;
  for (let index = 0; index < count; index += 1) {
    const at = 32 + index * 32;
    if (at + 32 > table.byteLength) throw damaged('its metadata is not whole');
    const name = table.toString('hex', at, at + 16);
    const value = await bytes.at(start + table.readUInt32LE(at + 16), 8);
    if (value.byteLength < 8) throw damaged('its metadata is not whole');
    const hasParent = name === GUID.fileParameters && (value.readUInt32LE(4) & HAS_PARENT) !== 0;
    if (hasParent || name === GUID.parentLocator) {
      throw imageRefused('is the difference to a parent image', FLATTEN_FIRST);
    }
    if (name === GUID.virtualSize) size = Number(value.readBigUInt64LE(0));
  }
  if (size === undefined) throw damaged('it does not say its size');
  return size;
}

/** Returns the GUID as it is in the file: the first three fields have their bytes reversed. */
function guid(text: string): string {
  const [a = '', b = '', c = '', ...rest] = text.split('-');
  const turned = [a, b, c].map((hex) => Buffer.from(hex, 'hex').reverse().toString('hex'));
  return [...turned, ...rest].join('');
}
