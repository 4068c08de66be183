// Checks that data which leaves the registry is one flat image, whose header names no other file.
import type { DiskFormat } from '../core/model.ts';
import type { ImageBytes } from './image-bytes.ts';
import { INSPECTORS } from './inspect-image.ts';
import { imageRefused } from './refused.ts';
import { findSignatures, type KnownFormat, type Signature } from './signatures.ts';

/**
 * `format`: what the image is said to be; undefined for bytes that are no disk. Reads a few bounded
 * pieces, as `inspectImage`, and refuses the same headers.
 *
 * NOTE: the data of a raw disk is the guest's, which may hold a file system, an archive or an image
 * of any kind. It is refused only for a header that leads to other files: a program that guesses
 * the format would follow it. A mark at the end (VHD, DMG) of another format is data of the guest
 * too, and QEMU does not look there.
 * @throws IMAGE_REFUSED
 */
export async function assertFlat(bytes: ImageBytes, format: DiskFormat | undefined): Promise<void> {
  const signatures = (await findSignatures(bytes)).filter(({ atEnd }) => atEnd === undefined);
  if (format !== undefined && isKnown(format)) {
    assertOnly(signatures, format);
    await INSPECTORS[format](bytes);
    return;
  }
  for (const { format: found, name, leads } of signatures) {
    if (leads) throw imageRefused(`is ${name}, whose data is in other files`, DO_NOT_USE);
    const format = LEADING.find((each) => each === found);
    if (format !== undefined) await INSPECTORS[format](bytes);
  }
}

const DO_NOT_USE = 'do not use it; publish the image again from its source';

/** Formats whose header may name other files, and that QEMU then opens. */
const LEADING: readonly KnownFormat[] = ['qcow2', 'vmdk'];

function isKnown(format: DiskFormat): format is KnownFormat {
  return format in INSPECTORS;
}

function assertOnly(signatures: readonly Signature[], format: KnownFormat): void {
  const others = signatures.filter((each) => each.format !== format).map(({ name }) => name);
  const isIt = others.length < signatures.length;
  if (isIt && others.length === 0) return;
  const found = others.length === 0 ? 'raw' : others.join(' and ');
  const why = isIt ? `is ${found} too` : `is ${found} by its bytes`;
  throw imageRefused(`${why}, and its record says ${format}`, DO_NOT_USE);
}
