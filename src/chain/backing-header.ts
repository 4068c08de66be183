// The backing file that a qcow2 header names, read without a program and without trust.
import { constants } from 'node:fs';
import { type FileHandle, open, stat } from 'node:fs/promises';
import { dirname, resolve } from 'node:path';

const MAGIC = 0x514649fb;
const HEADER_BYTES = 20;
/** The format's own limit. */
const MAX_NAME_BYTES = 1023;
/** Deeper is a circle. */
const MAX_DEPTH = 256;

/** What tells a file or device apart, whatever it is called; null where there is none. */
export async function identityOf(path: string): Promise<string | null> {
  const found = await stat(path).catch(() => null);
  if (found === null) return null;
  return found.isBlockDevice() ? `device ${found.rdev}` : `file ${found.dev}:${found.ino}`;
}

/**
 * The file and all that is below it, by the headers alone.
 *
 * NOTE: a raw disk in which a guest forged a header is followed too. What is found here only ever
 * keeps a file from being changed or removed, so one too many does no harm.
 */
export async function pathsBelow(path: string): Promise<string[]> {
  const paths = [path];
  for (let next = await backingName(path); next !== null && paths.length < MAX_DEPTH; ) {
    paths.push(next);
    next = await backingName(next);
  }
  return paths;
}

async function backingName(path: string): Promise<string | null> {
  const file = await openToRead(path);
  if (file === null) return null;
  try {
    const header = await readAt(file, 0, HEADER_BYTES);
    if (header.length < HEADER_BYTES || header.readUInt32BE(0) !== MAGIC) return null;
    const offset = Number(header.readBigUInt64BE(8));
    const length = header.readUInt32BE(16);
    if (offset === 0 || length === 0 || length > MAX_NAME_BYTES) return null;
    const name = (await readAt(file, offset, length)).toString();
    return resolve(dirname(path), localPath(name));
  } finally {
    await file.close();
  }
}

/** NOTE: never a pipe or a device of another kind, whose opening alone may wait for ever. */
async function openToRead(path: string): Promise<FileHandle | null> {
  const found = await stat(path).catch(() => null);
  if (!(found?.isFile() || found?.isBlockDevice())) return null;
  return open(path, constants.O_RDONLY | constants.O_NONBLOCK).catch(() => null);
}

async function readAt(file: FileHandle, position: number, length: number): Promise<Buffer> {
  const buffer = Buffer.alloc(length);
  const { bytesRead } = await file
    .read(buffer, 0, length, position)
    .catch(() => ({ bytesRead: 0 }));
  return buffer.subarray(0, bytesRead);
}

/** `json:{…"filename":"/path"…}` and `file:/path` are other spellings of a path. */
function localPath(name: string): string {
  const [, inJson] = /^json:.*"(?:file\.)?filename"\s*:\s*"([^"]+)"/s.exec(name) ?? [];
  return (inJson ?? name).replace(/^file:/, '');
}
