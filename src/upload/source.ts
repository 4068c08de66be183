// Where the bytes of an image come from: a size, and streams of any range of it.
import { createReadStream } from 'node:fs';
import { stat } from 'node:fs/promises';
import type { Readable } from 'node:stream';
import { messageOf, PublishError } from '../errors.ts';

/** What an upload needs to know of its bytes. `path` lets worker threads read them by themselves. */
export interface ImageSource {
  /** Bytes. */
  readonly size: number;
  readonly path?: string;
  /** Bytes `start` (included) to `end` (not included), from anew on each call. */
  open(start: number, end: number): Readable;
}

// NOTE: with Node's default of 64 KiB a part of 16 MiB is 256 reads and 256 writes; at 512 KiB the
// rate no longer grows, and the parts under way hold a few MiB.
const READ_CHUNK_BYTES = 512 * 1024;

/** @throws UPLOAD where the file is not there or is none. */
export async function fileSource(path: string): Promise<ImageSource> {
  const size = await fileSize(path);
  const open = (start: number, end: number) =>
    createReadStream(path, {
      start,
      // `end` of a read stream is included, so an empty range has none that fits.
      end: Math.max(end - 1, 0),
      highWaterMark: READ_CHUNK_BYTES,
    });
  return { size, path, open };
}

async function fileSize(path: string): Promise<number> {
  try {
    const facts = await stat(path);
    if (facts.isFile()) return facts.size;
  } catch (error) {
    const message = `The image file ${path} cannot be read: ${messageOf(error)}`;
    throw new PublishError('UPLOAD', message, { step: 'upload', cause: error });
  }
  throw new PublishError('UPLOAD', `${path} is no file.`, { step: 'upload' });
}
