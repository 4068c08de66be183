// Files of a directory registry: durable, never incomplete, never outside the root.
import { createHash, randomUUID } from 'node:crypto';
import {
  constants,
  type FileHandle,
  link,
  lstat,
  open,
  readlink,
  realpath,
  unlink,
} from 'node:fs/promises';
import { basename, dirname, join } from 'node:path';
import { throwIfInterrupted } from '../../core/deadline.ts';
import { hasCode, PublishError } from '../../core/errors.ts';
import { orMissing } from '../../host/files/file-errors.ts';
import { descriptorPath, isNamed, readAtMost } from '../../host/files/own-file.ts';
import { isShared, withFolder } from './folder.ts';
import { notFile, type RegistryFolder } from './owner.ts';

// NOTE: an upper bound, as the mode of folders; in a folder that a group shares it is the mode itself.
export const FILE_MODE = 0o640;

/** Opens a new file of the folder; every member of a group that shares the folder may read it. */
export async function openNew(
  folder: RegistryFolder,
  name: string,
  flags: 'wx' | 'wx+' | 'ax+',
): Promise<FileHandle> {
  const file = await open(folder.at(name), flags, FILE_MODE);
  // The umask of a member may have taken that right away.
  if (await isShared(folder)) await file.chmod(FILE_MODE);
  return file;
}

/** Folder below the root for uploads and incomplete files. */
export const UPLOADS_FOLDER = '.uploads';

const FOLDER_ATTEMPTS = 5;

/** Writes a file under its final name in one step. @throws EEXIST if the name is taken. */
export async function createFile(root: string, key: string, body: Uint8Array): Promise<void> {
  await withFolder(root, UPLOADS_FOLDER, { forWriting: true }, async (uploads) => {
    const name = `${randomUUID()}.new`;
    const temporary = uploads.at(name);
    const file = await openNew(uploads, name, 'wx');
    try {
      await file.writeFile(body);
      await file.sync();
      await linkInto(root, { file, path: temporary }, key);
    } finally {
      await removeNamed(file, temporary);
      await file.close();
    }
  });
}

/**
 * Gives an open, complete file its final name, durably. `path` is its current name.
 * @throws EEXIST if the name is taken; REGISTRY if another user gave `path` to another file.
 */
export async function linkInto(
  root: string,
  from: { file: FileHandle; path: string },
  key: string,
): Promise<void> {
  const link = () =>
    withFolder(root, dirname(key), { forWriting: true }, (folder) =>
      linkIn(folder, from, basename(key)),
    );
  for (let attempt = 1; ; attempt += 1) {
    try {
      await link();
      return;
    } catch (error) {
      // Who removes the last file of a folder removes the folder, perhaps just now.
      if (!hasCode(error, 'ENOENT') || attempt === FOLDER_ATTEMPTS) throw error;
      if (!(await isNamed(from.file, from.path))) throw swapped(key);
    }
  }
}

async function linkIn(
  folder: RegistryFolder,
  { file, path }: { file: FileHandle; path: string },
  name: string,
): Promise<void> {
  try {
    await link(path, folder.at(name));
  } catch (error) {
    const there = hasCode(error, 'EEXIST') ? await orMissing(lstat(folder.at(name))) : undefined;
    throw there === undefined || there.isFile() ? error : notFile(join(folder.path, name), there);
  }
  // NOTE: the name may have been another user's file at that moment; what is published is what
  // was written here and nothing else.
  if (!(await isNamed(file, folder.at(name)))) {
    await unlink(folder.at(name));
    throw swapped(join(folder.path, name));
  }
  await folder.handle.sync();
}

/** Removes the name of an open file, if it still is one. */
export async function removeNamed(file: FileHandle, path: string): Promise<void> {
  if (await isNamed(file, path)) await orMissing(unlink(path));
}

/** Returns REGISTRY for a file whose name another user gave to something else. */
export function swapped(what: string): PublishError {
  const message = `another user replaced the file of ${what} while it was written; nothing was published`;
  const hint = 'check who may write to the registry';
  return new PublishError('REGISTRY', message, { step: 'registry', hint });
}

/** Closes the file when `work` settles. */
export async function withFile<T>(file: FileHandle, work: () => Promise<T>): Promise<T> {
  try {
    return await work();
  } finally {
    await file.close();
  }
}

/**
 * Opens a regular file for reading; `undefined` if there is none. A symbolic link is not followed,
 * and a FIFO not waited for: a user who may write to the registry must not choose what its readers
 * read.
 */
export async function openRegular(root: string, key: string): Promise<FileHandle | undefined> {
  const { O_RDONLY, O_NOFOLLOW, O_NONBLOCK } = constants;
  const file = await orNoFile(open(join(root, key), O_RDONLY | O_NOFOLLOW | O_NONBLOCK));
  if (file === undefined) return undefined;
  try {
    const isFile = (await file.stat()).isFile();
    if (isFile && (await isInside(file, root, key))) return file;
  } catch (error) {
    await file.close();
    throw error;
  }
  await file.close();
  return undefined;
}

/** Reads an open file. `what` names it in the error. @throws INTEGRITY beyond `maxBytes` */
export async function readSmall(
  file: FileHandle,
  maxBytes: number,
  what: string,
): Promise<Uint8Array> {
  const body = await readAtMost(file, maxBytes);
  if (body !== undefined) return body;
  const { size } = await file.stat();
  const message = `${what} has ${size} bytes, more than the ${maxBytes} that such an object can have`;
  throw new PublishError('INTEGRITY', message, { step: 'registry' });
}

/** False if the file was removed meanwhile. @throws REGISTRY if a symbolic link led out of the root. */
async function isInside(file: FileHandle, root: string, key: string): Promise<boolean> {
  const [at, base] = await Promise.all([readlink(descriptorPath(file)), realpath(root)]);
  if (at === join(base, key)) return true;
  if (at.endsWith(' (deleted)')) return false;
  const message = `${join(root, key)} leads to ${at} by a symbolic link`;
  throw new PublishError('REGISTRY', message, { step: 'registry', hint: 'remove that link' });
}

/** Resolves to undefined if the file does not exist or is a socket, which cannot be opened. */
async function orNoFile(opening: Promise<FileHandle>): Promise<FileHandle | undefined> {
  return orMissing(opening).catch((error: unknown) => {
    if (hasCode(error, 'ENXIO')) return undefined;
    throw error;
  });
}

/**
 * Returns the md5 of the bytes in that range, or of fewer if the file is shorter. It is used for parts
 * that were written without an md5; few of them are ever read again.
 */
export async function md5OfRange(
  file: FileHandle,
  { start, length }: { start: number; length: number },
  signal: AbortSignal | undefined,
): Promise<string> {
  const hash = createHash('md5');
  if (length > 0) {
    const end = start + length - 1;
    for await (const chunk of file.createReadStream({ start, end, autoClose: false })) {
      throwIfInterrupted(signal, 'upload');
      hash.update(chunk as Uint8Array);
    }
  }
  return hash.digest('hex');
}
