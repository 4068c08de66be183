// Files of a cache: read only if nobody else can have written them, written only where there is room.
import {
  closeSync,
  constants,
  fstatSync,
  openSync,
  readdirSync,
  readFileSync,
  rmSync,
  statfsSync,
  statSync,
} from 'node:fs';
import { join } from 'node:path';
import { isTrustedOwner } from '../../host/files/own-folders.ts';

const OTHERS_MAY_WRITE = 0o022;

/** What stays free on the file system: the larger of the two. `fraction` is of its size. */
export interface CacheReserve {
  minBytes: number;
  fraction: number;
}

/**
 * The text of a regular file of this user's own (or root's) that no other user may write to.
 * @throws Error where it is anything else, or has more than `maxBytes`; it is not read then.
 *
 * NOTE: O_NONBLOCK, since whoever opens a FIFO without it waits for a writer.
 */
export function readOwnFile(path: string, maxBytes: number): string {
  const flags = constants.O_RDONLY | constants.O_NOFOLLOW | constants.O_NONBLOCK;
  const file = openSync(path, flags);
  try {
    const facts = fstatSync(file);
    const isOwn = isTrustedOwner(facts) && (facts.mode & OTHERS_MAY_WRITE) === 0;
    if (!facts.isFile() || !isOwn || facts.size > maxBytes) throw new Error('not a cache of ours');
    return readFileSync(file, 'utf8');
  } finally {
    closeSync(file);
  }
}

/** Whether so many bytes leave the reserve of the folder's file system untouched. */
export function hasRoom(folder: string, bytes: number, reserve: CacheReserve): boolean {
  const { bavail, blocks, bsize } = statfsSync(folder);
  const kept = Math.max(reserve.minBytes, blocks * bsize * reserve.fraction);
  return bavail * bsize - bytes >= kept;
}

/** Removes the entries of a folder that are meant, but for the `keep` that were changed last. */
export function removeAllBut(
  folder: string,
  isMeant: (name: string) => boolean,
  keep: number,
): void {
  const entries = readdirSync(folder)
    .filter(isMeant)
    .map((name) => ({ path: join(folder, name), at: statSync(join(folder, name)).mtimeMs }))
    .sort((a, b) => b.at - a.at);
  for (const { path } of entries.slice(keep)) rmSync(path, { recursive: true, force: true });
}
