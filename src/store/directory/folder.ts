// Folders of a directory registry, opened from its root down without following a link, and worked in by descriptor.
import { constants, type Stats } from 'node:fs';
import { type FileHandle, lstat, mkdir, open } from 'node:fs/promises';
import { join } from 'node:path';
import { hasCode, PublishError } from '../../core/errors.ts';
import { descriptorPath } from '../../host/files/own-file.ts';
import { assertTrusted, type RegistryFolder } from './owner.ts';

// NOTE: an upper bound: the umask removes rights from it. Images hold all data of a guest, so only
// the owner and the group may read one.
const FOLDER_MODE = 0o750;
/** Below a folder that a group shares (setgid, writable by it), which every member must write to. */
const SHARED_MODE = 0o2770;
const IS_SHARED = 0o2020;

/** How `openFolder` treats missing and existing folders. */
export interface FolderUse {
  /** Creates missing folders below the root durably, and checks the owners of the others. */
  forWriting: boolean;
}

/**
 * Opens the folder `key` (`images/4c1d/record`, or empty for the root itself) for the time of
 * `work`. `undefined` if it is missing, or a file is in its way, and it is not for writing.
 * @throws REGISTRY if it is for writing and the root is missing; if a symbolic link, or a folder that another user planted, is in its way.
 */
export async function withFolder<T>(
  root: string,
  key: string,
  use: FolderUse,
  work: (folder: RegistryFolder) => Promise<T>,
): Promise<T | undefined> {
  const folder = await openFolder(root, key, use);
  if (folder === undefined) return undefined;
  try {
    return await work(folder);
  } finally {
    await folder.handle.close();
  }
}

/** Opens what `withFolder` opens; the caller closes its handle. */
export async function openFolder(
  root: string,
  key: string,
  { forWriting }: FolderUse,
): Promise<RegistryFolder | undefined> {
  let folder = await openRoot(root, forWriting);
  const top = await folder?.handle.stat();
  for (const name of key.split('/').filter((each) => each !== '')) {
    if (folder === undefined || top === undefined) return undefined;
    const parent: RegistryFolder = folder;
    try {
      folder = await openChild(parent, name, { top, forWriting });
    } finally {
      await parent.handle.close();
    }
  }
  return folder;
}

// NOTE: what is above the root may be the state directory, which QEMU's own user must pass; and the
// root is the user's choice, so a link to it is followed.
async function openRoot(root: string, forWriting: boolean): Promise<RegistryFolder | undefined> {
  const { O_RDONLY, O_DIRECTORY } = constants;
  try {
    return folderOf(await open(root, O_RDONLY | O_DIRECTORY), root);
  } catch (error) {
    if (!forWriting && hasCode(error, 'ENOENT', 'ENOTDIR')) return undefined;
    if (hasCode(error, 'ENOENT')) throw registryMissing(root, error);
    throw hasCode(error, 'ENOTDIR') ? notFolder(root, error) : error;
  }
}

async function openChild(
  parent: RegistryFolder,
  name: string,
  { top, forWriting }: FolderUse & { top: Stats },
): Promise<RegistryFolder | undefined> {
  const { O_RDONLY, O_DIRECTORY, O_NOFOLLOW } = constants;
  const path = join(parent.path, name);
  const isNew = forWriting && (await made(parent.at(name)));
  let handle: FileHandle;
  try {
    handle = await open(parent.at(name), O_RDONLY | O_DIRECTORY | O_NOFOLLOW);
  } catch (error) {
    if (!forWriting && hasCode(error, 'ENOENT')) return undefined;
    if (!hasCode(error, 'ENOTDIR', 'ELOOP')) throw error;
    const isLink = (await lstat(parent.at(name))).isSymbolicLink();
    if (!isLink && !forWriting) return undefined;
    throw isLink ? linkedFolder(path) : notFolder(path, error);
  }
  const folder = folderOf(handle, path);
  try {
    if (isNew) await syncNewFolder(parent, folder);
    else if (forWriting) await assertTrusted(folder, top);
    return folder;
  } catch (error) {
    await handle.close();
    throw error;
  }
}

/** Makes one folder; false if there is something of this name. */
export async function made(path: string): Promise<boolean> {
  try {
    await mkdir(path, { mode: FOLDER_MODE });
    return true;
  } catch (error) {
    if (hasCode(error, 'EEXIST')) return false;
    throw error;
  }
}

/** Whether every member of the folder's group may create and remove files in it. */
export async function isShared({ handle }: Pick<RegistryFolder, 'handle'>): Promise<boolean> {
  return ((await handle.stat()).mode & IS_SHARED) === IS_SHARED;
}

async function syncNewFolder(parent: RegistryFolder, folder: RegistryFolder): Promise<void> {
  if (await isShared(parent)) await folder.handle.chmod(SHARED_MODE);
  await parent.handle.sync();
}

function folderOf(handle: FileHandle, path: string): RegistryFolder {
  return { handle, path, at: (name) => `${descriptorPath(handle)}/${name}` };
}

function linkedFolder(path: string): PublishError {
  const message = `${path} is a symbolic link in the place of a folder of the registry`;
  return new PublishError('REGISTRY', message, { step: 'registry', hint: 'remove that link' });
}

function registryMissing(root: string, cause: unknown): PublishError {
  const message = `the directory ${root} of the registry is missing`;
  const hint = 'mount it, or correct --registry';
  return new PublishError('REGISTRY', message, { step: 'registry', cause, hint });
}

// Replaces EEXIST, which otherwise means a lost race.
export function notFolder(path: string, cause: unknown): PublishError {
  const message = `${path} is no directory, or lies below a file`;
  const hint = 'name another directory with --registry';
  return new PublishError('REGISTRY', message, { step: 'registry', cause, hint });
}
