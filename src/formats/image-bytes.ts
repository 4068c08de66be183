// Bytes of an untrusted file at any place: a bounded piece at a time, short only at its end.
import { constants, type FileHandle, open } from 'node:fs/promises';
import { messageOf, PublishError } from '../core/errors.ts';

export interface ImageBytes {
  readonly size: number;
  /** `length` bytes from `offset`, fewer if the file ends before. */
  at(offset: number, length: number): Promise<Buffer>;
}

/** The largest piece that is read: no header, table or descriptor is larger. */
const MAX_PIECE = 4 * 1024 * 1024;

/** Opens a regular file for the time of `work`. @throws USAGE if it is none, or not readable. */
export async function withImageBytes<T>(
  path: string,
  work: (bytes: ImageBytes) => Promise<T>,
): Promise<T> {
  const file = await openRegular(path);
  try {
    return await work(await bytesOfFile(file));
  } finally {
    await file.close();
  }
}

/** Returns the bytes of a file that is open for reading; valid while it is open. */
export async function bytesOfFile(file: FileHandle): Promise<ImageBytes> {
  const { size } = await file.stat();
  return { size, at: (offset, length) => readAt(file, size, offset, length) };
}

/** Returns a buffer as the whole file, for headers that are not on disk. */
export function bytesOf(buffer: Buffer): ImageBytes {
  const at = async (offset: number, length: number) => buffer.subarray(offset, offset + length);
  return { size: buffer.byteLength, at };
}

// NOTE: a FIFO would block the open, and stat reports no size of a device.
async function openRegular(path: string): Promise<FileHandle> {
  try {
    const file = await open(path, constants.O_RDONLY | constants.O_NONBLOCK);
    if ((await file.stat()).isFile()) return file;
    await file.close();
  } catch (cause) {
    const message = `the file ${path} cannot be read: ${messageOf(cause)}`;
    throw new PublishError('USAGE', message, { step: 'inspect', cause });
  }
  throw new PublishError('USAGE', `${path} is no regular file`, {
    step: 'inspect',
    hint: 'name an image file or a URL',
  });
}

async function readAt(
  file: FileHandle,
  size: number,
  offset: number,
  length: number,
): Promise<Buffer> {
  const wanted = Math.max(0, Math.min(length, size - offset, MAX_PIECE));
  const buffer = Buffer.alloc(wanted);
  let read = 0;
  while (read < wanted) {
    const { bytesRead } = await file.read(buffer, read, wanted - read, offset + read);
    if (bytesRead === 0) break;
    read += bytesRead;
  }
  return buffer.subarray(0, read);
}
