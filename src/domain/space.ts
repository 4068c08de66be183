// Whether there is room for what a run will write, with the reserve left untouched.
import { access, stat, statfs } from 'node:fs/promises';
import { dirname } from 'node:path';
import { messageOf, PublishError } from '../core/errors.ts';
import { formatBytes } from '../core/format-bytes.ts';

/** Bytes that will be written below a directory, which need not exist yet. */
export interface SpaceNeed {
  directory: string;
  purpose: string;
  needed: number;
}

/** What stays free on each file system: the larger of the two. `fraction` is of its size. */
export interface Reserve {
  minBytes: number;
  fraction: number;
}

/** A need, and what is free for it beyond the reserve; `device` tells file systems apart. */
export interface SpaceRow extends SpaceNeed {
  available: number;
  device: number;
}

/**
 * Looks up what is free beyond the reserve for each need; nothing is refused yet.
 *
 * NOTE: a file system that runs full pauses every guest that lives on it. Hence the reserve.
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

/** Bytes free beyond the reserve of the directory's file system; below 0 where it is touched. */
export async function readSpace(
  directory: string,
  reserve: Reserve,
): Promise<{ free: number; beyondReserve: number }> {
  const { bavail, blocks, bsize } = await statfs(directory).catch((cause: unknown) => {
    throw gone(directory, cause);
  });
  const kept = Math.max(reserve.minBytes, Math.ceil(blocks * bsize * reserve.fraction));
  const free = bavail * bsize;
  return { free, beyondReserve: free - kept };
}

export const OTHER_WORK_DIR = 'name another directory with --work-dir';

/** @throws PublishError NO_SPACE where the needs of one file system together exceed what is free. */
export function assertEnoughSpace(space: readonly SpaceRow[], cure = OTHER_WORK_DIR): void {
  for (const { device, available } of space) {
    const here = space.filter((row) => row.device === device);
    const needed = here.reduce((sum, row) => sum + row.needed, 0);
    if (needed <= available) continue;
    const parts = here
      .map((row) => `${formatBytes(row.needed)} in ${row.directory} for ${row.purpose}`)
      .join(', ');
    throw new PublishError(
      'NO_SPACE',
      `too little free space: ${parts}; beyond the reserve ${formatBytes(available)} are free. Free some, or ${cure}`,
      { step: 'space' },
    );
  }
}

/** Whether a file can be moved from one directory to the other without being copied. */
export async function onSameFileSystem(one: string, other: string): Promise<boolean> {
  const [a, b] = await Promise.all(
    [one, other].map(async (path) => stat(await nearestExisting(path))),
  );
  return a?.dev === b?.dev;
}

/** The directory, or the nearest one above it that is there. */
export async function nearestExisting(path: string): Promise<string> {
  try {
    await access(path);
    return path;
  } catch (error) {
    if (dirname(path) === path) throw error;
    return nearestExisting(dirname(path));
  }
}

function gone(directory: string, cause: unknown): PublishError {
  const message = `the free space of ${directory} cannot be read: ${messageOf(cause)}; see whether it was removed or unmounted, and run it again`;
  return new PublishError('WORK_DIR', message, { step: 'space', cause });
}
