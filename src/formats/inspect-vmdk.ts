// Reads a VMDK header and descriptor: one sparse extent, this very file, and no parent.
import type { ImageBytes } from './image-bytes.ts';
import { CONVERT_AT_SOURCE, DO_NOT_USE, damaged, FLATTEN_FIRST, imageRefused } from './refused.ts';

const SECTOR = 512;
const SUBFORMATS = ['monolithicSparse', 'streamOptimized'];
const MAX_DESCRIPTOR_BYTES = 1024 * 1024;
const MAX_GRAIN_SECTORS = 2 ** 16;
/** A footer has the place of the grain directory: a stream is written without seeking back. */
const AT_END = 0xffffffffffffffffn;
const FOOTER_FROM_END = 1024;

/** The virtual size. @throws IMAGE_REFUSED */
export async function inspectVmdk(bytes: ImageBytes): Promise<number> {
  const header = await bytes.at(0, SECTOR);
  const capacity = checkHeader(header, bytes.size);
  if (header.readBigUInt64LE(56) === AT_END) {
    const footer = await bytes.at(bytes.size - FOOTER_FROM_END, SECTOR);
    if (footer.toString('latin1', 0, 4) !== 'KDMV') throw damaged('its footer is missing');
    if (checkHeader(footer, bytes.size) !== capacity || footer.readBigUInt64LE(56) === AT_END) {
      throw imageRefused('has different headers at its start and its end', DO_NOT_USE);
    }
  }
  checkDescriptor(await readDescriptor(bytes, header));
  return capacity * SECTOR;
}

/** The capacity in sectors. */
function checkHeader(header: Buffer, size: number): number {
  if (header.byteLength < SECTOR) throw damaged('the VMDK header is not whole');
  const version = header.readUInt32LE(4);
  if (version < 1 || version > 3) {
    throw imageRefused(`is VMDK version ${version}`, CONVERT_AT_SOURCE);
  }
  const capacity = Number(header.readBigUInt64LE(12));
  // NOTE: with a capacity of 0 QEMU relies on the descriptor alone, and opens whatever
  // files its extents name (the shape of CVE-2022-47951).
  if (capacity === 0) throw imageRefused('keeps its data in other files', FLATTEN_FIRST);
  const grain = Number(header.readBigUInt64LE(20));
  if (grain === 0 || grain > MAX_GRAIN_SECTORS) throw damaged('its grain size is wrong');
  const perTable = header.readUInt32LE(44);
  if (perTable === 0 || perTable > 512) throw damaged('its grain tables have a wrong size');
  const directory = header.readBigUInt64LE(56);
  const entries = Math.ceil(capacity / (grain * perTable));
  if (directory !== AT_END && Number(directory) * SECTOR + entries * 4 > size) {
    throw damaged('its grain directory lies beyond its end');
  }
  if (header.readUInt16LE(77) > 1)
    throw imageRefused('has an unknown compression type', CONVERT_AT_SOURCE);
  return capacity;
}

async function readDescriptor(bytes: ImageBytes, header: Buffer): Promise<string> {
  const start = Number(header.readBigUInt64LE(28)) * SECTOR;
  const length = Number(header.readBigUInt64LE(36)) * SECTOR;
  if (start === 0 || length === 0) throw imageRefused('has no descriptor', CONVERT_AT_SOURCE);
  if (length > MAX_DESCRIPTOR_BYTES)
    throw imageRefused('has a descriptor of an impossible size', DO_NOT_USE);
  if (start + length > bytes.size) throw damaged('its descriptor lies beyond its end');
  const text = (await bytes.at(start, length)).toString('latin1');
  const end = text.indexOf('\0');
  // No reader needs text after the end: it can only be meant for another program.
  if (end >= 0 && /[^\0]/.test(text.slice(end)))
    throw imageRefused('has text after its descriptor', DO_NOT_USE);
  return end < 0 ? text : text.slice(0, end);
}

/** Every line must be understood: what one reader skips, another one obeys. */
function checkDescriptor(text: string): void {
  let extents = 0;
  let subformat: string | undefined;
  for (const line of text.split(/\r\n|\n|\r/).map((each) => each.trim())) {
    if (line === '' || line.startsWith('#')) continue;
    const setting = /^([A-Za-z][\w.]*)\s*=\s*"?([^"]*)"?$/.exec(line);
    if (setting === null) {
      checkExtent(line);
      extents += 1;
      continue;
    }
    const [, name = '', value = ''] = setting;
    const key = name.toLowerCase();
    if (key === 'createtype') {
      if (subformat !== undefined) throw imageRefused('names its type twice', DO_NOT_USE);
      subformat = value;
    }
    const isParent = key === 'parentcid' && !/^f{8}$/i.test(value);
    if (isParent || key.startsWith('parentfilename')) {
      throw imageRefused('is the difference to a parent image', FLATTEN_FIRST);
    }
  }
  if (subformat === undefined || !SUBFORMATS.includes(subformat)) {
    const kind = JSON.stringify((subformat ?? 'of no kind').slice(0, 60));
    throw imageRefused(
      `is a VMDK ${kind}; only ${SUBFORMATS.join(' and ')} are one file`,
      FLATTEN_FIRST,
    );
  }
  if (extents !== 1) throw imageRefused(`has ${extents} extents, not one`, FLATTEN_FIRST);
}

function checkExtent(line: string): void {
  const extent = /^(RW|RDONLY|NOACCESS)\s+\d+\s+SPARSE\s+"([^"]*)"\s*\d*$/.exec(line);
  if (extent === null)
    throw imageRefused('has an extent or a line that is not allowed', FLATTEN_FIRST);
  if (/[/\\:]/.test(extent[2] ?? '')) {
    throw imageRefused('names a path for its data', 'do not use it: it names a file of this host');
  }
}
