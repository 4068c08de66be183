// Checks that the space beyond the reserve suffices for what a run will write.
import { access, stat, statfs } from 'node:fs/promises';
import { dirname } from 'node:path';
import { messageOf, PublishError } from '../core/errors.ts';
import { formatBytes } from '../core/format-bytes.ts';

/** Bytes to be written below a directory, which may not exist yet. */
export interface SpaceNeed {
  directory: string;
  purpose: string;
  needed: number;
}

/** What stays free on each file system: the larger of the two. `fraction` is a part of its size. */
export interface Reserve {
  minBytes: number;
  fraction: number;
}

/** A need and the bytes available for it beyond the reserve; `device` identifies the file system. */
export interface SpaceRow extends SpaceNeed {
  available: number;
  device: number;
}

/**
 * Measures the space beyond the reserve for each need; rejects nothing.
 *
 * NOTE: a full file system pauses every guest with a disk on it. Hence the reserve.
 */
export async function measureSpace(
  needs: readonly SpaceNeed[],
  reserve: Reserve,
): Promise<SpaceRow[]> {
  return Promise.all(
    needs.map(async (need) => {
      const existing = await nearestExisting(need.directory);
      const { beyondReserve } = await readSpace(existing, reserve);
      const { dev } = await stat(existing);
      return { ...need, available: Math.max(0, beyondReserve), device: dev };
    }),
  );
}

/** Returns the free bytes, and those beyond the reserve; the latter are negative below the reserve. */
export async function readSpace(
  directory: string,
  reserve: Reserve,
): Promise<{ free: number; beyondReserve: number }> {
  const { bavail, blocks, bsize } = await statfs(directory).catch((cause: unknown) => {
    throw unreadable(directory, cause);
  });
  const kept = Math.max(reserve.minBytes, Math.ceil(blocks * bsize * reserve.fraction));
  const free = bavail * bsize;
  return { free, beyondReserve: free - kept };
}

export const OTHER_WORK_DIR = 'choose another directory with --work-dir';

/** @throws PublishError NO_SPACE if the needs of one file system exceed its available space */
export function assertEnoughSpace(space: readonly SpaceRow[], alternative = OTHER_WORK_DIR): void {
  for (const { device, available } of space) {
    const here = space.filter((row) => row.device === device);
    const needed = here.reduce((sum, row) => sum + row.needed, 0);
    if (needed <= available) continue;
    const parts = here
      .map((row) => `${formatBytes(row.needed)} in ${row.directory} for ${row.purpose}`)
      .join(', ');
    throw new PublishError(
      'NO_SPACE',
      `too little free space: ${parts} needed, ${formatBytes(available)} free beyond the reserve`,
      { step: 'space', hint: `free some space, or ${alternative}` },
    );
  }
}

/** Whether a file can be moved from one directory to the other without a copy. */
export async function onSameFileSystem(one: string, other: string): Promise<boolean> {
  const [a, b] = await Promise.all(
    [one, other].map(async (path) => stat(await nearestExisting(path))),
  );
  return a?.dev === b?.dev;
}

/** Returns the directory, or its nearest existing parent. */
export async function nearestExisting(path: string): Promise<string> {
  try {
    await access(path);
    return path;
  } catch (error) {
    if (dirname(path) === path) throw error;
    return nearestExisting(dirname(path));
  }
}

function unreadable(directory: string, cause: unknown): PublishError {
  const message = `cannot read the free space of ${directory}: ${messageOf(cause)}`;
  const hint = 'check whether it was removed or unmounted, then run it again';
  return new PublishError('WORK_DIR', message, { step: 'space', cause, hint });
}
