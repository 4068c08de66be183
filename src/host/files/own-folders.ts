// Creates and checks the folders that virt-publish makes for itself.
import { chmodSync, lstatSync, mkdirSync, type Stats } from 'node:fs';
import { chmod, constants, lstat, mkdir, open, readdir, stat } from 'node:fs/promises';
import { dirname, resolve } from 'node:path';
import { hasCode, messageOf, PublishError } from '../../core/errors.ts';

/** QEMU's user may pass through such a folder to a delta; only the owner may list or change it. */
export const PASSABLE = 0o711;
export const PRIVATE = 0o700;

const MAY_PASS = 0o011;
const MAY_WRITE = 0o022;
const STICKY = 0o1000;

/** Names that virt-publish creates in a state or work directory. */
const OWN_NAMES =
  /^(runs|registry|cache|locks|((import|pull|doctor)-)?[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12})$/;

/**
 * Creates a folder, and the missing ones above it with mode {@link PASSABLE}. An existing one stays
 * unchanged. Returns the folders that it created, the lowest first.
 *
 * NOTE: the mode is set by chmod: a umask of 077 removes x from a mode given to mkdir, and QEMU's user
 * could not pass.
 * @throws the file system's error.
 */
export function makeFolders(path: string, mode = PASSABLE): string[] {
  const lowest = resolve(path);
  const first = mkdirSync(lowest, { recursive: true, mode: PRIVATE });
  const created: string[] = [];
  for (let at = lowest; first !== undefined && at.length >= first.length; at = dirname(at)) {
    created.push(at);
  }
  for (const folder of created) chmodSync(folder, folder === lowest ? mode : PASSABLE);
  return created;
}

/** Like {@link makeFolders}, and the new names survive a power cut. @throws the file system's error. */
export async function makeFoldersDurably(path: string, mode = PASSABLE): Promise<void> {
  for (const folder of makeFolders(path, mode)) await syncDirectory(dirname(folder));
}

/**
 * Prepares a state or work directory for a run: creates it if it is missing, and lets QEMU's user pass
 * if it is closed.
 *
 * NOTE: only a folder with nothing but virt-publish's own files is opened: other files in it may be
 * readable by all users once they can pass.
 * @throws PublishError WORK_DIR, NO_SPACE if it cannot be created; WORK_DIR if another user could
 * change its content.
 */
export async function prepareFolder(path: string): Promise<void> {
  await orWorkDirError(path, async () => {
    await makeFoldersDurably(path);
    await assertTrusted(path);
    const { mode } = await stat(path);
    if (await needsOpening(path)) await chmod(path, (mode & 0o7777) | MAY_PASS);
  });
}

/** Returns whether `prepareFolder` opens it: it is closed, this user's, and has only own files in it. */
export async function needsOpening(path: string): Promise<boolean> {
  const facts = await stat(path);
  const isClosed = facts.isDirectory() && (facts.mode & MAY_PASS) !== MAY_PASS;
  return isClosed && facts.uid === ownUid() && (await hasOnlyOwnNames(path));
}

async function hasOnlyOwnNames(path: string): Promise<boolean> {
  return (await readdir(path)).every((name) => OWN_NAMES.test(name));
}

/**
 * Creates a new folder for one run in a prepared one.
 *
 * NOTE: a plain mkdir, which fails if the name exists: in a directory that others may write to (such
 * as /var/tmp) it may be a folder with planted links in it.
 * @throws PublishError WORK_DIR, NO_SPACE if it cannot be created; WORK_DIR if it exists.
 */
export async function makeRunFolder(path: string, mode: number): Promise<void> {
  await orWorkDirError(path, async () => {
    await mkdir(path, { mode: PRIVATE });
    await chmod(path, mode);
    await syncDirectory(dirname(path));
  });
}

/**
 * Returns false if the folder does not exist.
 * @throws PublishError WORK_DIR if another user could change its content.
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
  if (link.isSymbolicLink() && !isTrustedOwner(link)) {
    throw workDirError(`${path} is a symbolic link of another user (uid ${link.uid})`);
  }
  const folder = await stat(path);
  if (!folder.isDirectory()) throw workDirError(`${path} is no directory`);
  if (!isTrustedOwner(folder)) {
    throw workDirError(`the folder ${path} belongs to another user (uid ${folder.uid})`);
  }
  if (folder.mode & MAY_WRITE && !(folder.mode & STICKY)) {
    throw workDirError(`other users may change the content of ${path}`, {
      hint: `chmod go-w ${path}, or ${OTHER_PLACE}`,
    });
  }
}

/**
 * Returns why another user may have created or changed a file or folder of a run, as a sentence.
 * Returns `undefined` if that is impossible.
 * @throws the file system's error if it does not exist.
 */
export async function whyUntrusted(path: string): Promise<string | undefined> {
  const facts = await lstat(path);
  if (facts.isSymbolicLink()) return `${path} is a symbolic link`;
  if (!isTrustedOwner(facts)) return `${path} belongs to another user (uid ${facts.uid})`;
  return facts.mode & MAY_WRITE ? `other users may write to ${path}` : undefined;
}

/** Returns whether a folder exists that no other user can have created or changed. */
export function isOwnFolder(path: string): boolean {
  try {
    const facts = lstatSync(path);
    return facts.isDirectory() && isTrustedOwner(facts) && (facts.mode & MAY_WRITE) === 0;
  } catch (error) {
    if (isMissing(error)) return false;
    throw error;
  }
}

/** Returns whether a file belongs to this user or to root, who may change any file anyway. */
export function isTrustedOwner({ uid }: Pick<Stats, 'uid'>): boolean {
  return uid === ownUid() || uid === 0;
}

export function ownUid(): number {
  return process.geteuid?.() ?? 0;
}

/** Returns whether the error means that a path does not exist, also if a file or a loop is in its way. */
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

/** @throws PublishError WORK_DIR, NO_SPACE with the error of `work` as its cause. */
export async function orWorkDirError(
  path: string,
  work: (path: string) => Promise<void>,
): Promise<void> {
  try {
    await work(path);
  } catch (error) {
    if (error instanceof PublishError) throw error;
    throw workDirError(`cannot create the folder ${path}: ${messageOf(error)}`, { cause: error });
  }
}

const OTHER_PLACE = 'choose another directory with --work-dir or VIRT_PUBLISH_STATE_DIR';

/** Returns WORK_DIR, or NO_SPACE if `cause` is that the file system is full. */
export function workDirError(
  message: string,
  { hint = OTHER_PLACE, cause }: { hint?: string; cause?: unknown } = {},
): PublishError {
  const code = hasCode(cause, 'ENOSPC', 'EDQUOT') ? 'NO_SPACE' : 'WORK_DIR';
  return new PublishError(code, message, { step: 'space', hint, ...(cause ? { cause } : {}) });
}
