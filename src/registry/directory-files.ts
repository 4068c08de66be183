// Files of a directory registry: durable, never half there, never outside the root.
import { createHash, randomUUID } from 'node:crypto';
import { createReadStream } from 'node:fs';
import { constants, type FileHandle, link, lstat, open, realpath, unlink } from 'node:fs/promises';
import { dirname, join, sep } from 'node:path';
import { hasCode, PublishError } from '../errors.ts';
import { makeTree } from '../files/make-tree.ts';
import { makeFoldersDurably } from '../files/own-folders.ts';
import { throwIfInterrupted } from './deadline.ts';
import { orMissing } from './file-errors.ts';

// NOTE: these are upper bounds: the umask takes away from them and nothing adds to them. Images
// hold whatever the guest held, so nobody but the owner and the group ever reads one.
export const FILE_MODE = 0o640;
export const FOLDER_MODE = 0o750;

/** Where uploads and files that are not whole yet live, below the root. */
export const UPLOADS_FOLDER = '.uploads';

const FOLDER_ATTEMPTS = 5;

/** Writes a file under its final name in one step. @throws EEXIST where the name is taken. */
export async function createFile(root: string, path: string, body: Uint8Array): Promise<void> {
  const temporary = join(root, UPLOADS_FOLDER, `${randomUUID()}.new`);
  await makeFolder(root, dirname(temporary));
  const file = await open(temporary, 'wx', FILE_MODE);
  try {
    await withFile(file, async () => {
      await file.writeFile(body);
      await file.sync();
    });
    await linkInto(root, temporary, path);
  } finally {
    await unlink(temporary);
  }
}

/** Gives a whole file its final name, durably. @throws EEXIST where the name is taken. */
export async function linkInto(root: string, from: string, path: string): Promise<void> {
  for (let attempt = 1; ; attempt += 1) {
    await makeFolder(root, dirname(path));
    try {
      await link(from, path);
      break;
    } catch (error) {
      // Who removes the last file of a folder removes the folder, perhaps just now.
      if (!hasCode(error, 'ENOENT') || attempt === FOLDER_ATTEMPTS) throw error;
    }
  }
  await syncFolder(dirname(path));
}

/** Makes a folder below the root with all above it, each one durable in its parent. */
export async function makeFolder(root: string, folder: string): Promise<void> {
  await assertLeadsInside(root, folder);
  const first = await makeBelow(root, folder).catch((error) => {
    throw hasCode(error, 'EEXIST', 'ENOTDIR') ? notFolder(folder, error) : error;
  });
  await assertInside(root, folder);
  if (first === undefined) return;
  for (let at = folder; ; at = dirname(at)) {
    await syncFolder(dirname(at));
    if (at === first) return;
  }
}

/** NOTE: what is above the root may be the state directory, which QEMU's own user must pass. */
async function makeBelow(root: string, folder: string): Promise<string | undefined> {
  await makeFoldersDurably(dirname(root));
  return makeTree(folder, FOLDER_MODE);
}

/** Before anything is made: what is there already of the way must not lead out of the root. */
async function assertLeadsInside(root: string, folder: string): Promise<void> {
  for (let at = folder; at.startsWith(root + sep); at = dirname(at)) {
    if ((await orMissing(realpath(at))) !== undefined) return assertInside(root, at);
  }
}

// Not left to stand as EEXIST, which means a lost race everywhere else.
function notFolder(folder: string, cause: unknown): PublishError {
  const message = `${folder} is no directory, or lies below a file; name another one.`;
  return new PublishError('REGISTRY', message, { step: 'registry', cause });
}

export async function syncFolder(folder: string): Promise<void> {
  const handle = await open(folder, constants.O_RDONLY | constants.O_DIRECTORY);
  await withFile(handle, () => handle.sync());
}

/** Closes the file whatever `work` does. */
export async function withFile<T>(file: FileHandle, work: () => Promise<T>): Promise<T> {
  try {
    return await work();
  } finally {
    await file.close();
  }
}

/**
 * Opens a regular file for reading; `undefined` where there is none. A symbolic link is not
 * followed: whoever may write in the registry must not choose what its readers read.
 */
export async function openRegular(root: string, path: string): Promise<FileHandle | undefined> {
  const file = await orMissing(open(path, constants.O_RDONLY | constants.O_NOFOLLOW));
  if (file === undefined) return undefined;
  try {
    await assertInside(root, dirname(path));
    if ((await file.stat()).isFile()) return file;
  } catch (error) {
    await file.close();
    throw error;
  }
  await file.close();
  return undefined;
}

/** What an open file holds; `what` it is, for the message. @throws INTEGRITY beyond `maxBytes`. */
export async function readSmall(
  file: FileHandle,
  maxBytes: number,
  what: string,
): Promise<Uint8Array> {
  const { size } = await file.stat();
  if (size > maxBytes) {
    const message = `${what} has ${size} bytes, and ${maxBytes} is the most that such an object can have.`;
    throw new PublishError('INTEGRITY', message, { step: 'registry' });
  }
  // NOTE: no more than it had: somebody may write into it, and go on writing.
  const body = Buffer.alloc(size);
  for (let at = 0; at < size; ) {
    const { bytesRead } = await file.read(body, at, size - at, at);
    if (bytesRead === 0) return body.subarray(0, at);
    at += bytesRead;
  }
  return body;
}

/** @throws REGISTRY where a symbolic link leads the folder out of the root. */
export async function assertInside(root: string, folder: string): Promise<void> {
  const [base, real] = await Promise.all([realpath(root), realpath(folder)]);
  if (real === base || real.startsWith(base + sep)) return;
  const message = `${folder} leads out of the registry ${root}; remove that symbolic link.`;
  throw new PublishError('REGISTRY', message, { step: 'registry' });
}

export async function isRegularFile(path: string): Promise<boolean> {
  return (await orMissing(lstat(path)))?.isFile() ?? false;
}

/**
 * Of the bytes that the file holds there: of fewer where it is shorter. For parts that were written
 * without one, since few of them are ever asked for again.
 */
export async function md5OfRange(
  path: string,
  { start, length }: { start: number; length: number },
  signal: AbortSignal | undefined,
): Promise<string> {
  const hash = createHash('md5');
  if (length > 0) {
    const end = start + length - 1;
    for await (const chunk of createReadStream(path, { start, end })) {
      throwIfInterrupted(signal, 'upload');
      hash.update(chunk as Uint8Array);
    }
  }
  return hash.digest('hex');
}

/** The files of one upload. */
export function uploadPaths(root: string, id: string) {
  const folder = join(root, UPLOADS_FOLDER);
  return {
    folder,
    about: join(folder, `${id}.json`),
    parts: join(folder, `${id}.parts`),
    data: join(folder, `${id}.data`),
  };
}
