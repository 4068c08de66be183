// The folders that virt-publish makes for itself: made, checked and mended here alone.
import { chmodSync, lstatSync, mkdirSync, type Stats } from 'node:fs';
import { chmod, constants, lstat, mkdir, open, readdir, stat } from 'node:fs/promises';
import { dirname, resolve } from 'node:path';
import { hasCode, messageOf, PublishError } from '../../core/errors.ts';

/** QEMU's own user passes through such a folder to a delta; only the owner lists or changes it. */
export const PASSABLE = 0o711;
export const PRIVATE = 0o700;

const MAY_PASS = 0o011;
const MAY_WRITE = 0o022;
const STICKY = 0o1000;

/** What virt-publish makes in a state or work directory. */
const OWN_NAMES =
  /^(runs|registry|cache|locks|((import|pull|doctor)-)?[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12})$/;

/**
 * Makes a folder, and those above it that are missing with mode {@link PASSABLE}. One that exists
 * stays as it is. Returns what it made, the lowest first.
 *
 * NOTE: a umask of 077 would take the x from a mode that is given to mkdir, and QEMU's way with it.
 * @throws the file system's error.
 */
export function makeFolders(path: string, mode = PASSABLE): string[] {
  const lowest = resolve(path);
  const first = mkdirSync(lowest, { recursive: true, mode: PRIVATE });
  const made: string[] = [];
  for (let at = lowest; first !== undefined && at.length >= first.length; at = dirname(at)) {
    made.push(at);
  }
  for (const folder of made) chmodSync(folder, folder === lowest ? mode : PASSABLE);
  return made;
}

/** As {@link makeFolders}; the new names survive a power cut. @throws the file system's error. */
export async function makeFoldersDurably(path: string, mode = PASSABLE): Promise<void> {
  for (const folder of makeFolders(path, mode)) await syncDirectory(dirname(folder));
}

/**
 * Makes a state or work directory ready for a run: makes it if it is missing, and opens the way for
 * QEMU's user if it is closed (an earlier version may have made it so).
 *
 * NOTE: only a folder that holds nothing but our own is opened: what else its owner keeps there may
 * be readable by all once they can pass.
 * @throws PublishError WORK_DIR, NO_SPACE if it cannot be made; WORK_DIR if another user could change
 * what is in it.
 */
export async function prepareFolder(path: string): Promise<void> {
  await orWorkDirError(path, async () => {
    await makeFoldersDurably(path);
    await assertTrusted(path);
    const { mode } = await stat(path);
    if (await isToBeOpened(path)) await chmod(path, (mode & 0o7777) | MAY_PASS);
  });
}

/** Whether `prepareFolder` opens it: it is closed, this user's, and holds nothing but our own. */
export async function isToBeOpened(path: string): Promise<boolean> {
  const facts = await stat(path);
  const isClosed = facts.isDirectory() && (facts.mode & MAY_PASS) !== MAY_PASS;
  return isClosed && facts.uid === ownUid() && (await holdsOnlyOurs(path));
}

async function holdsOnlyOurs(path: string): Promise<boolean> {
  return (await readdir(path)).every((name) => OWN_NAMES.test(name));
}

/**
 * Makes a new folder for one run in a prepared one, as its own user alone could have.
 *
 * NOTE: a plain mkdir, since in a directory that others may write to (as /var/tmp) the name may be
 * taken by a folder with planted links in it.
 * @throws PublishError WORK_DIR, NO_SPACE if it cannot be made; WORK_DIR if it exists.
 */
export async function makeRunFolder(path: string, mode: number): Promise<void> {
  await orWorkDirError(path, async () => {
    await mkdir(path, { mode: PRIVATE });
    await chmod(path, mode);
    await syncDirectory(dirname(path));
  });
}

/**
 * False if there is no such folder.
 * @throws PublishError WORK_DIR if another user could change what is in it.
 */
export async function isTrustedFolder(path: string): Promise<boolean> {
  try {
    await assertTrusted(path);
    return true;
  } catch (error) {
    if (isMissing(error)) return false;
    throw error;
  }
}

async function assertTrusted(path: string): Promise<void> {
  const link = await lstat(path);
  if (link.isSymbolicLink() && !isOurs(link)) {
    throw workDirError(`${path} is a symbolic link of another user (uid ${link.uid})`);
  }
  const folder = await stat(path);
  if (!folder.isDirectory()) throw workDirError(`${path} is no directory`);
  if (!isOurs(folder)) {
    throw workDirError(`the folder ${path} belongs to another user (uid ${folder.uid})`);
  }
  if (folder.mode & MAY_WRITE && !(folder.mode & STICKY)) {
    throw workDirError(`other users may change what is in ${path}`, `chmod go-w ${path}, or `);
  }
}

/**
 * Why a file or folder of a run may be another user's work; undefined if it is ours alone.
 * @throws the file system's error if there is none.
 */
export async function whyUntrusted(path: string): Promise<string | undefined> {
  const facts = await lstat(path);
  if (facts.isSymbolicLink()) return `${path} is a symbolic link`;
  if (!isOurs(facts)) return `${path} belongs to another user (uid ${facts.uid})`;
  return facts.mode & MAY_WRITE ? `other users may write to ${path}` : undefined;
}

/** As `whyUntrusted`, for a folder that is not needed: false also if it is missing. */
export function isOwnFolder(path: string): boolean {
  try {
    const facts = lstatSync(path);
    return facts.isDirectory() && isOurs(facts) && (facts.mode & MAY_WRITE) === 0;
  } catch (error) {
    if (isMissing(error)) return false;
    throw error;
  }
}

/** Root may do anything to any file, so what belongs to root is trusted as our own. */
export function isOurs({ uid }: Pick<Stats, 'uid'>): boolean {
  return uid === ownUid() || uid === 0;
}

export function ownUid(): number {
  return process.geteuid?.() ?? 0;
}

/** Whether the error says that there is nothing at a path; also if a file or a loop is in its way. */
export function isMissing(error: unknown): boolean {
  return hasCode(error, 'ENOENT', 'ENOTDIR', 'ELOOP', 'ENAMETOOLONG');
}

/** Makes a new name in a directory survive a power cut. @throws the file system's error. */
export async function syncDirectory(path: string): Promise<void> {
  const directory = await open(path, constants.O_RDONLY | constants.O_DIRECTORY);
  try {
    await directory.sync();
  } finally {
    await directory.close();
  }
}

/** @throws PublishError WORK_DIR, NO_SPACE with what `work` throws as cause. */
export async function orWorkDirError(
  path: string,
  work: (path: string) => Promise<void>,
): Promise<void> {
  try {
    await work(path);
  } catch (error) {
    if (error instanceof PublishError) throw error;
    throw workDirError(`cannot make the folder ${path}: ${messageOf(error)}`, '', error);
  }
}

export function workDirError(what: string, cure = '', cause?: unknown): PublishError {
  const code = hasCode(cause, 'ENOSPC', 'EDQUOT') ? 'NO_SPACE' : 'WORK_DIR';
  const message = `${what}; ${cure}choose another directory with --work-dir or VIRT_PUBLISH_STATE_DIR`;
  return new PublishError(code, message, { step: 'space', ...(cause ? { cause } : {}) });
}
