// Makes a flat image's data share blocks with the layers (reflinks), if the file system can.
import { type FileHandle, open, stat } from 'node:fs/promises';
import { dirname } from 'node:path';
import { OWNERS_ONLY } from '../host/files/private-file.ts';
import { BLOCK } from '../host/io/direct-file.ts';
import { writeAll } from '../host/io/direct-target.ts';
import { requireReflinks } from '../host/io/reflinks.ts';
import type { Segment } from './plan/data-runs.ts';
import type { PlannedImage } from './plan/plan-image.ts';
import { Qcow2Layout } from './qcow2/qcow2-layout.ts';

/** Shared by one call: an abort takes effect between two of them. */
const SHARE_BYTES = 256 * 1024 * 1024;
/** Copied, because it is no whole block of both files. If it is more, the image is copied as a whole. */
const MAX_COPIED = 16 * 1024 * 1024;

/**
 * Makes the image's file at `path` with all its data, as blocks that it shares with the layers.
 * Returns false if the file system cannot share them; the file is then missing or empty.
 * @throws the file system's error; the signal's reason.
 */
export async function shareLayers(
  planned: PlannedImage,
  path: string,
  signal: AbortSignal,
): Promise<boolean> {
  if (!planned.shares || !(await canShare(planned.layers, dirname(path)))) return false;
  const target = await open(path, 'w', OWNERS_ONLY);
  try {
    const isShared = await shareData(target, planned, signal);
    if (!isShared) await target.truncate(0);
    return isShared;
  } finally {
    await target.close();
  }
}

async function canShare(layers: readonly string[], folder: string): Promise<boolean> {
  const [place, ...facts] = await Promise.all([folder, ...layers].map((path) => stat(path)));
  if (facts.some(({ dev }) => dev !== place?.dev)) return false;
  try {
    await requireReflinks(folder);
    // The C library may have another name than the calls expect.
    await import('../host/native/file-calls.ts');
    return true;
  } catch {
    return false;
  }
}

/** Returns false if they cannot be shared; the file then holds some of the data. */
async function shareData(
  target: FileHandle,
  planned: PlannedImage,
  signal: AbortSignal,
): Promise<boolean> {
  const { layers } = planned;
  const layout = new Qcow2Layout(planned);
  const files: FileHandle[] = [];
  try {
    for (const layer of layers) files.push(await open(layer, 'r'));
    const sizes = await Promise.all(files.map(async (file) => (await file.stat()).size));
    const sharing = new Sharing(await import('../host/native/file-calls.ts'), {
      files,
      sizes,
      target,
    });
    for (let start = layout.dataAt; start < layout.size; start += SHARE_BYTES) {
      const end = Math.min(start + SHARE_BYTES, layout.size);
      for (const segment of layout.segments(start, end)) {
        signal.throwIfAborted();
        if (!(await sharing.put({ ...segment, to: segment.to + start }))) return false;
      }
    }
    return true;
  } finally {
    await Promise.allSettled(files.map((file) => file.close()));
  }
}

/** The layers' files with their sizes in bytes, and the image's file. */
interface SharingPlace {
  files: readonly FileHandle[];
  sizes: readonly number[];
  target: FileHandle;
}

/** Shares whole blocks and copies the rest. */
class Sharing {
  readonly #calls: typeof import('../host/native/file-calls.ts');
  readonly #place: SharingPlace;
  #copied = 0;

  constructor(calls: typeof import('../host/native/file-calls.ts'), place: SharingPlace) {
    this.#calls = calls;
    this.#place = place;
  }

  /** Returns false if the segment cannot be shared. `to` is an offset in the image's file. */
  async put({ depth, at, length, to }: Segment): Promise<boolean> {
    const { files, sizes, target } = this.#place;
    const from = files[depth];
    if (!from) return false;
    const head = bytesBeforeBlock(at, to, length);
    // A file may end within its last cluster.
    const there = Math.min(length, (sizes[depth] ?? 0) - at);
    const blocks = Math.max(0, Math.floor((there - head) / BLOCK) * BLOCK);
    const shared = { at: at + head, length: blocks, to: to + head };
    const fd = { from: from.fd, to: target.fd };
    const isShared = blocks > 0 && (await this.#calls.shareBlocks(fd, shared));
    if (!isShared) return this.#copy(from, { at, length, to });
    const end = head + blocks;
    return (
      (await this.#copy(from, { at, length: head, to })) &&
      (await this.#copy(from, { at: at + end, length: length - end, to: to + end }))
    );
  }

  async #copy(
    from: FileHandle,
    { at, length, to }: Pick<Segment, 'at' | 'length' | 'to'>,
  ): Promise<boolean> {
    this.#copied += length;
    if (this.#copied > MAX_COPIED) return false;
    if (length === 0) return true;
    const { buffer, bytesRead } = await from.read(Buffer.alloc(length), 0, length, at);
    // The missing end of a file's last cluster reads as zeros.
    await writeAll(this.#place.target, buffer.subarray(0, bytesRead), to);
    return true;
  }
}

/** Returns the bytes before the first block border of both files; `length` if they have none in common. */
function bytesBeforeBlock(at: number, to: number, length: number): number {
  if (at % BLOCK !== to % BLOCK) return length;
  return Math.min(length, (BLOCK - (at % BLOCK)) % BLOCK);
}
