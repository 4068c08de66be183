// Files in folders that other users may write to: who owns a file, and whether its name still means the open file.
import { type BigIntStats, constants, type Stats } from 'node:fs';
import { type FileHandle, lstat, open } from 'node:fs/promises';
import { hasCode } from '../../core/errors.ts';
import { ownUid } from './own-folders.ts';

const ATTEMPTS = 100;

/** Returns a path of the open file itself, also if its name now means another file; valid in this process. */
export function descriptorPath({ fd }: { fd: number }): string {
  return `/proc/self/fd/${fd}`;
}

/** Returns the type of a file as a noun with its article. */
export function kindOf(facts: Stats | BigIntStats): string {
  if (facts.isFile()) return 'a file';
  if (facts.isDirectory()) return 'a directory';
  if (facts.isSymbolicLink()) return 'a symbolic link';
  if (facts.isFIFO()) return 'a FIFO';
  if (facts.isSocket()) return 'a socket';
  if (facts.isBlockDevice()) return 'a block device';
  return 'a character device';
}

/**
 * Returns why another user may have created the file or may write to it, as the end of a sentence that
 * begins with its path. Returns `undefined` for a regular file of `user` (by default this process's)
 * that has one name and that other users may not write to.
 */
export function foreignness(facts: Stats, user = ownUid()): string | undefined {
  if (!facts.isFile()) return `is ${kindOf(facts)}`;
  if (facts.uid !== user) return `belongs to user ${facts.uid}`;
  if (facts.nlink !== 1) return 'has a second name (a hard link)';
  return (facts.mode & 0o022) === 0 ? undefined : 'is writable by other users';
}

/**
 * Creates the file, or opens the existing one if it is this user's own (see `foreignness`). It follows
 * no symbolic link and waits for no FIFO. `flags` are added to O_RDWR, such as O_APPEND.
 * @throws the error that `refuse` returns for the reason; the system's error.
 */
export async function openOwn(
  path: string,
  { mode, flags = 0 }: { mode: number; flags?: number },
  refuse: (reason: string) => Error,
): Promise<{ file: FileHandle; isNew: boolean }> {
  const { O_RDWR, O_CREAT, O_EXCL, O_NOFOLLOW, O_NONBLOCK } = constants;
  for (let attempt = 1; ; attempt += 1) {
    try {
      const file = await open(path, O_RDWR | O_CREAT | O_EXCL | O_NOFOLLOW | flags, mode);
      return { file, isNew: true };
    } catch (error) {
      if (!hasCode(error, 'EEXIST')) throw error;
    }
    try {
      const file = await open(path, O_RDWR | O_NOFOLLOW | O_NONBLOCK | flags);
      await assertOwn(file, refuse);
      return { file, isNew: false };
    } catch (error) {
      // Removed since the first try: the next one creates it.
      if (hasCode(error, 'ENOENT') && attempt < ATTEMPTS) continue;
      if (!hasCode(error, 'ELOOP', 'ENXIO', 'EISDIR', 'EACCES')) throw error;
      const reason = foreignness(await lstat(path));
      throw reason === undefined ? error : refuse(reason);
    }
  }
}

/** @throws the error that `refuse` returns for the reason, after it closed the file. */
async function assertOwn(file: FileHandle, refuse: (reason: string) => Error): Promise<void> {
  const reason = foreignness(await file.stat());
  if (reason === undefined) return;
  await file.close();
  throw refuse(reason);
}

/** Whether the path is a name of the open file, and no link to it. */
export async function isNamed(file: FileHandle, path: string): Promise<boolean> {
  try {
    const [open, named] = await Promise.all([
      file.stat({ bigint: true }),
      lstat(path, { bigint: true }),
    ]);
    return open.dev === named.dev && open.ino === named.ino;
  } catch (error) {
    if (hasCode(error, 'ENOENT', 'ENOTDIR')) return false;
    throw error;
  }
}

/** Returns the file's content, or `undefined` if it has more than `limit` bytes. */
export async function readAtMost(file: FileHandle, limit: number): Promise<Buffer | undefined> {
  const { size } = await file.stat();
  if (size > limit) return undefined;
  // NOTE: no more than its size was: another process may keep writing to it.
  const bytes = Buffer.alloc(size);
  let done = 0;
  while (done < size) {
    const { bytesRead } = await file.read(bytes, done, size - done, done);
    if (bytesRead === 0) break;
    done += bytesRead;
  }
  return bytes.subarray(0, done);
}
