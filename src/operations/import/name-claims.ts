// Reads the packings and the disk format from the name of a file. Pure.
import { PublishError } from '../../core/errors.ts';
import type { DiskFormat } from '../../core/model.ts';

/** `disk.qcow2.gz`: packings `gzip`, format `qcow2`. */
export interface NameClaims {
  name: string;
  /** Without the endings. */
  stem: string;
  /** The outermost first. */
  packings: readonly string[];
  /** A disk format, or the name of an unsupported one; undefined if the name implies none. */
  format: string | undefined;
}

/** Packings that are unpacked; files with the endings of others are refused. */
const UNPACKED = ['gzip', 'xz', 'zstd'];

const PACKINGS = new Map(
  Object.entries({
    ...{ gz: 'gzip', gzip: 'gzip', xz: 'xz', zst: 'zstd', zstd: 'zstd' },
    ...{ bz2: 'bzip2', bz: 'bzip2', bzip2: 'bzip2', bz3: 'bzip3', lz4: 'lz4', lzma: 'LZMA' },
    ...{ lzo: 'lzop', lz: 'lzip', lrz: 'lrzip', z: 'compress', br: 'brotli', sz: 'snappy' },
    ...{ tar: 'tar', ova: 'tar', zip: 'zip', '7z': '7z', rar: 'rar', cab: 'cab', cpio: 'cpio' },
    ...{ wim: 'WIM', gpg: 'OpenPGP', pgp: 'OpenPGP', asc: 'OpenPGP', age: 'age' },
  }),
);

/** Endings that mean two endings. */
const SHORT = new Map(
  Object.entries({
    ...{ tgz: 'tar.gz', txz: 'tar.xz', tzst: 'tar.zst', tbz: 'tar.bz2', tbz2: 'tar.bz2' },
    ...{ tlz: 'tar.lzma', taz: 'tar.z', tz: 'tar.z' },
  }),
);

/** Endings that say nothing about the format: cloud images of several formats have them. */
const UNTOLD = ['img', 'bin'];

const FORMATS = new Map(
  Object.entries({
    ...{ qcow2: 'qcow2', qcow: 'qcow2', raw: 'raw', vmdk: 'vmdk', vdi: 'vdi', vhdx: 'vhdx' },
    ...{ iso: 'iso', vhd: 'VHD', vpc: 'VHD', qed: 'QED', dmg: 'DMG' },
  }),
);

/** Returns the claims of a name without folders; the case of endings does not matter. */
export function readName(name: string): NameClaims {
  const packings: string[] = [];
  let rest = name.trim();
  for (;;) {
    const ending = /\.([^.]+)$/.exec(rest)?.[1]?.toLowerCase() ?? '';
    const bare = rest.slice(0, -ending.length - 1);
    const long = SHORT.get(ending);
    if (long !== undefined) {
      rest = `${bare}.${long}`;
      continue;
    }
    const packing = PACKINGS.get(ending);
    if (packing === undefined) {
      const format = FORMATS.get(ending);
      const isDisk = format !== undefined || UNTOLD.includes(ending);
      return { name, stem: isDisk ? bare : rest, packings, format };
    }
    packings.push(packing);
    rest = bare;
  }
}

/**
 * Compares the names with what was unpacked: `removed`, the outermost first, and with the format
 * that the bytes have then. An encoding that the server put on top, which the name need not know,
 * is among `removed`.
 * @throws PublishError IMAGE_REFUSED for the first name that contradicts the bytes
 */
export function checkNames(
  names: readonly string[],
  { removed, format }: { removed: readonly string[]; format: DiskFormat },
): void {
  for (const { name, packings, format: claimed } of names.map(readName)) {
    const missing = packings.find((_, at) => !isWithin(removed, packings.slice(0, at + 1)));
    if (missing !== undefined) throw wronglyPacked(name, missing, format);
    // An ISO is a raw disk as well.
    const isSame =
      claimed === undefined || claimed === format || (claimed === 'raw' && format === 'iso');
    if (!isSame) throw contradicted(name, claimed, format);
  }
}

/** Whether `some` are among `all`, in this order. */
function isWithin(all: readonly string[], some: readonly string[]): boolean {
  let at = 0;
  for (const each of all) if (each === some[at]) at += 1;
  return at === some.length;
}

function wronglyPacked(name: string, packing: string, format: DiskFormat): PublishError {
  if (UNPACKED.includes(packing)) return contradicted(name, `packed with ${packing}`, format);
  const message = `${name} is packed with ${packing} by its name, which import cannot unpack`;
  const hint = `unpack it first, or use --format ${format} if it is not packed`;
  return new PublishError('IMAGE_REFUSED', message, { step: 'inspect', hint });
}

function contradicted(name: string, claimed: string, format: DiskFormat): PublishError {
  const message = `${name} is ${format} by its bytes, not ${claimed} as its name says`;
  const hint = `fetch it again, or use --format ${format} if that is right`;
  return new PublishError('IMAGE_REFUSED', message, { step: 'inspect', hint });
}
