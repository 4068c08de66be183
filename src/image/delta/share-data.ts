// The data of a flat image, shared with the layers that hold them where the file system can (reflinks).
import { type FileHandle, open } from 'node:fs/promises';
import { BLOCK } from '../../host/io/direct-file.ts';
import { writeAll } from '../../host/io/direct-target.ts';
import type { Segment } from '../plan/data-runs.ts';
import type { Qcow2Layout } from '../qcow2/qcow2-layout.ts';

interface ShareOptions {
  /** The layers' files, the first one on top. */
  layers: readonly string[];
  layout: Qcow2Layout;
  signal: AbortSignal;
}

/** That are shared by one call: an abort comes through between two of them. */
const SHARE_BYTES = 256 * 1024 * 1024;
/** Ends that are no whole blocks. Who finds more cannot share. */
const MAX_COPIED = 16 * 1024 * 1024;

/**
 * Puts all new data of an image into its file. False where they cannot be shared; some of them are
 * there then.
 * @throws what reading and writing throws; the signal's reason.
 */
export async function shareData(
  target: FileHandle,
  { layers, layout, signal }: ShareOptions,
): Promise<boolean> {
  const files: FileHandle[] = [];
  try {
    for (const layer of layers) files.push(await open(layer, 'r'));
    const sizes = await Promise.all(files.map(async (file) => (await file.stat()).size));
    const sharing = new Sharing(await import('../../host/native/file-calls.ts'), {
      files,
      sizes,
      target,
    });
    for (let start = layout.dataAt; start < layout.size; start += SHARE_BYTES) {
      const end = Math.min(start + SHARE_BYTES, layout.size);
      for (const segment of layout.newSegments(start, end)) {
        signal.throwIfAborted();
        if (!(await sharing.put({ ...segment, to: segment.to + start }))) return false;
      }
    }
    return true;
  } finally {
    await Promise.allSettled(files.map((file) => file.close()));
  }
}

/** The layers' files with their sizes in bytes, and the image's. */
interface SharingPlace {
  files: readonly FileHandle[];
  sizes: readonly number[];
  target: FileHandle;
}

/** Shares whole blocks, and copies what is left of them. */
class Sharing {
  readonly #calls: typeof import('../../host/native/file-calls.ts');
  readonly #place: SharingPlace;
  #copied = 0;

  constructor(calls: typeof import('../../host/native/file-calls.ts'), place: SharingPlace) {
    this.#calls = calls;
    this.#place = place;
  }

  /** `to`: in the image's file. */
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
    // What a file's last cluster lacks reads as zeros.
    await writeAll(this.#place.target, buffer.subarray(0, bytesRead), to);
    return true;
  }
}

/** Bytes before the first block border, which is one in both files; `length` where there is none. */
function bytesBeforeBlock(at: number, to: number, length: number): number {
  if (at % BLOCK !== to % BLOCK) return length;
  return Math.min(length, (BLOCK - (at % BLOCK)) % BLOCK);
}
