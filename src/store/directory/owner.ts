// Who made an entry of a directory registry: this user, the registry's owner or group, or a user who planted it.
import { randomUUID } from 'node:crypto';
import { constants, type Stats } from 'node:fs';
import { type FileHandle, lstat, open, unlink } from 'node:fs/promises';
import { join } from 'node:path';
import { hasCode, PublishError } from '../../core/errors.ts';
import { foreignness, kindOf } from '../../host/files/own-file.ts';
import { isTrustedOwner, ownUid } from '../../host/files/own-folders.ts';

/** An open folder: its names are looked up in it, wherever its own path leads by now. */
export interface RegistryFolder {
  readonly handle: FileHandle;
  /** For messages. */
  readonly path: string;
  /** A path for the entry with this name; valid in this process while the folder is open. */
  at(name: string): string;
}

const GROUP_MAY_WRITE = 0o020;

/**
 * `top`: the stat of the root.
 * @throws REGISTRY if the folder belongs neither to this user nor to the registry's owner or group
 */
export async function assertTrusted(
  { handle, path, at }: RegistryFolder,
  top: Stats,
): Promise<void> {
  const { uid, gid } = await handle.stat();
  const isGroups = (top.mode & GROUP_MAY_WRITE) !== 0 && gid === top.gid;
  if (isTrustedOwner({ uid }) || uid === top.uid || isGroups || uid === (await uidOfNew(at)))
    return;
  throw planted(path, `belongs to user ${uid}, who is not the owner of the registry`);
}

function planted(path: string, reason: string): PublishError {
  const message = `${path} ${reason}: another user planted it`;
  const hint = 'remove it, or give it to the owner of the registry (chown)';
  return new PublishError('REGISTRY', message, { step: 'registry', hint });
}

/**
 * Who owns what this process makes there: a file server may know it as another user (root_squash).
 * If no file can be made in it, returns undefined.
 */
async function uidOfNew(at: RegistryFolder['at']): Promise<number | undefined> {
  const path = at(`${randomUUID()}.new`);
  try {
    const file = await open(path, 'wx', 0o600);
    const { uid } = await file.stat().finally(() => file.close());
    await unlink(path);
    return uid;
  } catch (error) {
    if (hasCode(error, 'EACCES', 'EPERM', 'EROFS', 'EDQUOT', 'ENOSPC')) return undefined;
    throw error;
  }
}

/**
 * Opens a file of the folder to go on writing to it; `undefined` if it is missing.
 * @throws REGISTRY if another user may have made it, or may write to it.
 */
export async function openOwnFile(
  folder: RegistryFolder,
  name: string,
  flags = 0,
): Promise<FileHandle | undefined> {
  const { O_RDWR, O_NOFOLLOW, O_NONBLOCK } = constants;
  try {
    const file = await open(folder.at(name), O_RDWR | O_NOFOLLOW | O_NONBLOCK | flags);
    const reason = await whyForeign(folder, await file.stat());
    if (reason === undefined) return file;
    await file.close();
    throw planted(join(folder.path, name), reason);
  } catch (error) {
    if (hasCode(error, 'ENOENT')) return undefined;
    if (!hasCode(error, 'ELOOP', 'ENXIO', 'EISDIR', 'EACCES')) throw error;
    const reason = await whyForeign(folder, await lstat(folder.at(name)));
    throw reason === undefined ? error : planted(join(folder.path, name), reason);
  }
}

async function whyForeign(folder: RegistryFolder, facts: Stats): Promise<string | undefined> {
  if (facts.uid === ownUid()) return foreignness(facts);
  return foreignness(facts, await uidOfNew(folder.at));
}

/** Returns the error of an entry that is no file, in the place of one. */
export function notFile(path: string, facts: Stats): PublishError {
  const message = `${path} is ${kindOf(facts)} in the place of a file of the registry`;
  return new PublishError('REGISTRY', message, { step: 'registry', hint: 'remove it' });
}
