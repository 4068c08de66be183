// Where the bytes of an image come from: a size, and streams of any range of it.

import type { BigIntStats } from 'node:fs';
import { createReadStream } from 'node:fs';
import { stat } from 'node:fs/promises';
import type { Readable } from 'node:stream';
import { messageOf, PublishError } from '../errors.ts';
import { PageProbe } from '../files/page-probe.ts';

/** What an upload needs to know of its bytes. `path` lets worker threads read them by themselves. */
export interface ImageSource {
  /** Bytes. */
  readonly size: number;
  readonly path?: string;
  /** The file does not lie in the page cache, and is best read past it. */
  readonly direct?: boolean;
  /** Bytes `start` (included) to `end` (not included), from anew on each call. */
  open(start: number, end: number): Readable;
  /**
   * Digests and parts read the source each by themselves, so it must not change while they do.
   * @throws INTEGRITY where it is no longer what it was.
   */
  checkUnchanged?(): Promise<void>;
}

// NOTE: with Node's default of 64 KiB a part of 16 MiB is 256 reads and 256 writes; at 512 KiB the
// rate no longer grows, and the parts under way hold a few MiB.
const READ_CHUNK_BYTES = 512 * 1024;

/** Smaller ones are not worth a look. */
const LARGE_BYTES = 64 * 1024 * 1024;
const SAMPLES = 31;

/**
 * `direct`: whether it is read past the page cache; if left out, where it does not lie in it.
 * @throws UPLOAD where the file is not there or is none.
 */
export async function fileSource(
  path: string,
  { direct }: { direct?: boolean } = {},
): Promise<ImageSource> {
  const before = await fileFacts(path);
  const size = Number(before.size);
  const open = (start: number, end: number) =>
    createReadStream(path, {
      start,
      // `end` of a read stream is included, so an empty range has none that fits.
      end: Math.max(end - 1, 0),
      highWaterMark: READ_CHUNK_BYTES,
    });
  const checkUnchanged = async () => {
    const now = await fileFacts(path);
    if (IDENTITY.every((field) => now[field] === before[field])) return;
    const message = `The image file ${path} was changed while it was read; publish it again when it is still.`;
    throw new PublishError('INTEGRITY', message, { step: 'upload' });
  };
  return { size, path, direct: direct ?? (await isCold(path, size)), open, checkUnchanged };
}

async function isCold(path: string, size: number): Promise<boolean> {
  if (size < LARGE_BYTES) return false;
  try {
    const probe = await PageProbe.open(path);
    try {
      return !probe.isCached(0, size, Math.ceil(size / SAMPLES));
    } finally {
      await probe.close();
    }
  } catch {
    // What is wrong with the file is told by whoever reads it.
    return false;
  }
}

const IDENTITY = ['dev', 'ino', 'size', 'mtimeNs'] as const;

async function fileFacts(path: string): Promise<BigIntStats> {
  try {
    const facts = await stat(path, { bigint: true });
    if (facts.isFile()) return facts;
  } catch (error) {
    const message = `The image file ${path} cannot be read: ${messageOf(error)}`;
    throw new PublishError('UPLOAD', message, { step: 'upload', cause: error });
  }
  throw new PublishError('UPLOAD', `${path} is no file.`, { step: 'upload' });
}
