// Makes a directory with those above it, and fails with the true reason.
import { mkdirSync } from 'node:fs';
import { mkdir } from 'node:fs/promises';
import { hasCode } from '../../core/errors.ts';

/**
 * Makes the directory and those above it that are missing. Returns the highest one that it made,
 * undefined if there was nothing to make.
 *
 * NOTE: on a full file system Node's recursive mkdir rejects with ENOENT, and its synchronous
 * version throws ENOSPC (Node 20): after an ENOENT that one is asked.
 * @throws the file system's error.
 */
export async function makeTree(path: string, mode = 0o777): Promise<string | undefined> {
  try {
    return await mkdir(path, { recursive: true, mode });
  } catch (error) {
    if (!hasCode(error, 'ENOENT')) throw error;
    return mkdirSync(path, { recursive: true, mode });
  }
}
