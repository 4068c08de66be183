// A lock on a file, which the kernel drops when its holder dies; the file's content names the holder.
import {
  closeSync,
  constants,
  fstatSync,
  lstatSync,
  openSync,
  readdirSync,
  readSync,
  unlinkSync,
  writeSync,
} from 'node:fs';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { hasCode, messageOf, PublishError } from '../../core/errors.ts';
import { parseJson } from './file-errors.ts';
import { lockFolder } from './lock-folder.ts';

export interface FileLock {
  release(): Promise<void>;
}

/**
 * `free`: no process has the lock. `unknown`: a process has it, and its file does not name it in JSON.
 * Else the holder as it named itself.
 */
export type FileLockState = { holder: unknown } | 'free' | 'unknown';

const { O_CREAT, O_RDWR, O_RDONLY, O_NOFOLLOW, O_NONBLOCK } = constants;
const SUFFIX = '.lock';
const MAX_HOLDER_BYTES = 4096;
/** The longest that a new holder takes to write its name into the file. */
const WRITING_TAKES_MS = 500;
const PAUSE_MS = 20;

// Loads koffi, which only a run that takes locks waits for.
const loadCalls = () => import('../native/file-locks.ts');
type LockCalls = Awaited<ReturnType<typeof loadCalls>>;

/**
 * Takes the lock `name` for this process and writes `holder` to its file. Returns `undefined` if another
 * process has it. The kernel drops the lock when this process dies.
 *
 * NOTE: each holder has a new file and removes it with the lock; in a file that is used again, a reader
 * could find the name of an earlier holder. The descriptor is a bare number, since the garbage
 * collector closes an unreferenced FileHandle, and the lock with it.
 * @throws PublishError WORK_DIR, NO_SPACE if the file cannot be created or locked.
 */
export async function tryFileLock(name: string, holder: object): Promise<FileLock | undefined> {
  const calls = await loadCalls();
  return orLockError(name, (path) => {
    for (;;) {
      const fd = openSync(path, O_CREAT | O_RDWR | O_NOFOLLOW | O_NONBLOCK, 0o600);
      const outcome = take(calls, { fd, path }, holder);
      if (outcome === 'taken') return { release: async () => release(fd, path) };
      closeSync(fd);
      if (outcome === 'held') return undefined;
    }
  });
}

interface OpenFile {
  fd: number;
  path: string;
}

function take(
  { tryLock }: LockCalls,
  { fd, path }: OpenFile,
  holder: object,
): 'taken' | 'held' | 'stale' {
  try {
    if (!fstatSync(fd).isFile()) throw new Error('it is no regular file');
    if (!tryLock(fd)) return 'held';
    // It was removed after it was opened here; another file may have its name.
    if (!isNamed(fd, path)) return 'stale';
    if (fstatSync(fd).size > 0) {
      // Its holder died.
      unlinkSync(path);
      return 'stale';
    }
    writeHolder(fd, holder);
    return 'taken';
  } catch (error) {
    closeSync(fd);
    throw error;
  }
}

/** NOTE: on a full file system the lock is held all the same, without the name of its holder. */
function writeHolder(fd: number, holder: object): void {
  try {
    writeSync(fd, JSON.stringify(holder));
  } catch (error) {
    if (!hasCode(error, 'ENOSPC', 'EDQUOT')) throw error;
  }
}

function release(fd: number, path: string): void {
  try {
    if (isNamed(fd, path)) unlinkSync(path);
  } finally {
    closeSync(fd);
  }
}

/** Returns who has the lock `name`. @throws PublishError WORK_DIR if its file cannot be read. */
export async function askFileLock(name: string): Promise<FileLockState> {
  const calls = await loadCalls();
  const deadline = performance.now() + WRITING_TAKES_MS;
  for (;;) {
    const state = orLockError(name, (path) => look(calls, path));
    if (state !== undefined) return state;
    if (performance.now() >= deadline) return 'unknown';
    await sleep(PAUSE_MS);
  }
}

/** Returns the names of the locks with `prefix`, of holders alive or dead. */
export function listFileLocks(prefix: string): string[] {
  return readdirSync(lockFolder())
    .filter((name) => name.startsWith(prefix) && name.endsWith(SUFFIX))
    .map((name) => name.slice(0, -SUFFIX.length));
}

/** Returns `undefined` if the file has just changed, so that the caller must look again. */
function look({ isLocked }: LockCalls, path: string): FileLockState | undefined {
  const fd = openExisting(path);
  if (fd === undefined) return 'free';
  try {
    if (!isLocked(fd)) return isNamed(fd, path) ? 'free' : undefined;
    const bytes = Buffer.alloc(MAX_HOLDER_BYTES);
    const length = fstatSync(fd).isFile() ? readSync(fd, bytes, 0, MAX_HOLDER_BYTES, 0) : 0;
    return length === 0 ? undefined : parseHolder(bytes.toString('utf8', 0, length));
  } finally {
    closeSync(fd);
  }
}

function openExisting(path: string): number | undefined {
  try {
    return openSync(path, O_RDONLY | O_NOFOLLOW | O_NONBLOCK);
  } catch (error) {
    if (hasCode(error, 'ENOENT')) return undefined;
    throw error;
  }
}

function parseHolder(text: string): FileLockState {
  const holder = parseJson(text);
  return holder === undefined ? 'unknown' : { holder };
}

/** Returns whether the open file is the one that has this name now. */
function isNamed(fd: number, path: string): boolean {
  const opened = fstatSync(fd);
  const named = lstatSync(path, { throwIfNoEntry: false });
  return named?.dev === opened.dev && named.ino === opened.ino;
}

function orLockError<T>(name: string, work: (path: string) => T): T {
  const path = join(lockFolder(), `${name.replace(/[^\w-]/g, '_')}${SUFFIX}`);
  try {
    return work(path);
  } catch (cause) {
    const code = hasCode(cause, 'ENOSPC', 'EDQUOT') ? 'NO_SPACE' : 'WORK_DIR';
    const message = `the lock file ${path} cannot be used: ${messageOf(cause)}`;
    const hint = 'remove what is in its place, or free some space';
    throw new PublishError(code, message, { step: 'inspect', cause, hint });
  }
}
