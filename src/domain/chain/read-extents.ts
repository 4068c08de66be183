// Reads the extents of a still chain with qemu-img.
// NOTE: separate from extents.ts, so that the threads that use extents do not load the code that runs programs.
import { PublishError } from '../../core/errors.ts';
import { map } from '../../qemu/qemu-img.ts';
import type { CallLimits, MapExtent, SourceImage } from '../../qemu/qemu-img-types.ts';
import type { DataExtents } from './extents.ts';

/** 100 MiB of memory for all copies; a terabyte in runs of 2 MiB. */
const MAX_EXTENTS = 500_000;
const MAX_DEPTH = 255;

/**
 * Returns `undefined` if only QEMU can read some of the data (compressed, encrypted), or if there are
 * too many runs.
 * @throws PublishError QEMU_IMG, INTEGRITY if the disk has another size; the signal's reason
 */
export async function readExtents(
  source: SourceImage & CallLimits,
  virtualSize: number,
): Promise<DataExtents | undefined> {
  const list = new ExtentList();
  await map(source, (extent) => list.add(extent));
  assertNotResized(source.path, list.end, virtualSize);
  return list.done();
}

/** @throws PublishError INTEGRITY if a disk that was inspected with `virtualSize` now has `bytes`. */
export function assertNotResized(path: string, bytes: number, virtualSize: number): void {
  // QEMU rounds the size of a raw file up to whole sectors.
  if (inSectors(bytes) === inSectors(virtualSize)) return;
  throw new PublishError(
    'INTEGRITY',
    `${path} was resized while it was read: it has ${bytes} bytes, not ${virtualSize}`,
    { step: 'convert', retryable: true, hint: 'run it again' },
  );
}

function inSectors(bytes: number): number {
  return Math.ceil(bytes / 512);
}

/** Collects the output of `qemu-img map`. */
class ExtentList {
  readonly #start: number[] = [];
  readonly #length: number[] = [];
  readonly #depth: number[] = [];
  readonly #at: number[] = [];
  #isPlain = true;
  #end = 0;

  /** The end of the last run, with or without data. */
  get end(): number {
    return this.#end;
  }

  add({ start, length, depth, zero, data, compressed, offset }: MapExtent): void {
    this.#end = start + length;
    if (!this.#isPlain || !data || zero || length === 0) return;
    const isReadable = offset !== null && !compressed && depth <= MAX_DEPTH;
    if (!isReadable || this.#start.length === MAX_EXTENTS) {
      this.#isPlain = false;
      return;
    }
    if (this.#joins(start, depth, offset)) {
      const last = this.#length.length - 1;
      this.#length[last] = (this.#length[last] ?? 0) + length;
      return;
    }
    this.#start.push(start);
    this.#length.push(length);
    this.#depth.push(depth);
    this.#at.push(offset);
  }

  done(): DataExtents | undefined {
    if (!this.#isPlain) return undefined;
    return {
      count: this.#start.length,
      start: Float64Array.from(this.#start),
      length: Float64Array.from(this.#length),
      depth: Uint8Array.from(this.#depth),
      at: Float64Array.from(this.#at),
    };
  }

  /** Whether the run continues the last one, in the guest's disk and in the file. */
  #joins(start: number, depth: number, at: number): boolean {
    const length = this.#length.at(-1) ?? 0;
    return (
      this.#depth.at(-1) === depth &&
      (this.#start.at(-1) ?? 0) + length === start &&
      (this.#at.at(-1) ?? 0) + length === at
    );
  }
}
