// Determines the format of an untrusted file from its bytes alone, and refuses references to other files.
import { PublishError } from '../core/errors.ts';
import { formatBytes } from '../core/format-bytes.ts';
import type { DiskFormat } from '../core/model.ts';
import type { ImageBytes } from './image-bytes.ts';
import { inspectQcow2 } from './inspect-qcow2.ts';
import { inspectVdi } from './inspect-vdi.ts';
import { inspectVhdx } from './inspect-vhdx.ts';
import { inspectVmdk } from './inspect-vmdk.ts';
import { FETCH_AGAIN, imageRefused } from './refused.ts';
import { findSignatures, type KnownFormat, type Signature } from './signatures.ts';

/** Bytes that a guest sees, as the header claims them. */
export interface Inspected {
  format: DiskFormat;
  virtualSize: number;
}

export const INSPECTORS: Readonly<Record<KnownFormat, (bytes: ImageBytes) => Promise<number>>> = {
  qcow2: inspectQcow2,
  vmdk: inspectVmdk,
  vdi: inspectVdi,
  vhdx: inspectVhdx,
};

/**
 * Reads a few bounded pieces of the file and starts no program. `expected` is what the user says
 * the format is; `maxVirtualBytes` is what a guest may be shown at most.
 * @throws IMAGE_REFUSED, USAGE if it is another format than expected.
 */
export async function inspectImage(
  bytes: ImageBytes,
  { expected, maxVirtualBytes }: { expected?: DiskFormat | undefined; maxVirtualBytes: number },
): Promise<Inspected> {
  if (bytes.size === 0) throw imageRefused('is empty', 'check where it came from');
  const format = decideFormat(await findSignatures(bytes), expected);
  if (expected !== undefined && expected !== format) {
    const message = `--format says ${expected}, but the image is ${format}`;
    const hint = 'leave --format out, or check where the image came from';
    throw new PublishError('USAGE', message, { step: 'inspect', hint });
  }
  const isPlain = format === 'raw' || format === 'iso';
  const virtualSize = isPlain ? bytes.size : await INSPECTORS[format](bytes);
  if (virtualSize === 0) throw imageRefused('has no data: its virtual size is 0', FETCH_AGAIN);
  if (virtualSize > maxVirtualBytes) {
    throw imageRefused(
      `claims a size of ${formatBytes(virtualSize)}, more than the ${formatBytes(maxVirtualBytes)} that are allowed`,
      'if that is right, raise import.maxVirtualBytes in the configuration',
    );
  }
  return { format, virtualSize };
}

/** NOTE: an ISO is a raw disk too, and hybrid ones have a partition table; `expected` decides then. */
function decideFormat(found: readonly Signature[], expected: DiskFormat | undefined): DiskFormat {
  const signatures = expected === 'raw' ? found.filter(({ isText }) => isText !== true) : found;
  const [first] = signatures.filter(({ inRaw }) => inRaw === undefined);
  if (first === undefined) {
    const isIso = signatures.some(({ format }) => format === 'iso');
    return isIso && expected !== 'raw' ? 'iso' : 'raw';
  }
  if (signatures.length > 1) {
    const names = signatures.map(({ name }) => name).join(' and ');
    throw imageRefused(
      `can be taken for several formats (${names})`,
      'do not use it: no honest tool makes such a file',
    );
  }
  if (first.format !== undefined) return first.format;
  if (first.isText) {
    throw imageRefused(
      `is ${first.name} and no disk`,
      'check where it came from; if it is a disk all the same, add --format raw',
    );
  }
  throw imageRefused(
    `is ${first.name}, which is not supported`,
    'if you trust it, unpack it or convert it to qcow2 first',
  );
}
