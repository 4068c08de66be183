// Gives a complete file its name, and replaces only a regular file.
import { type FileHandle, link, lstat, readlink, rename, unlink } from 'node:fs/promises';
import { dirname } from 'node:path';
import { hasCode, PublishError } from '../../core/errors.ts';
import { orMissing } from '../../host/files/file-errors.ts';
import { isNamed, kindOf } from '../../host/files/own-file.ts';
import { syncDirectory } from '../../host/files/own-folders.ts';
import { openByUmask } from '../../host/files/private-file.ts';

/** A guest's data is never for all: the umask takes away from this, and nothing adds to it. */
const WHOLE_MODE = 0o640;

/** An open file, and the name that it has. */
export interface NamedFile {
  file: FileHandle;
  path: string;
}

/**
 * Renames the file durably, with the rights that the umask permits. If that fails, removes the old name.
 * @throws USAGE from `assertReplaceable`; INTEGRITY if another user gave one of the names to another
 * file; the file system's error.
 */
export async function nameFile(from: NamedFile, to: string, overwrite: boolean): Promise<void> {
  try {
    await assertNamed(from.file, from.path);
    await assertReplaceable(to, overwrite);
    await openByUmask(from.file, WHOLE_MODE);
    if (overwrite) await rename(from.path, to);
    else await renameToNew(from.path, to);
  } catch (error) {
    if (await isNamed(from.file, from.path)) await unlink(from.path);
    throw hasCode(error, 'EEXIST') ? exists(to) : error;
  }
  await assertNamed(from.file, to);
  await syncDirectory(dirname(to));
}

/**
 * @throws USAGE if the file exists and `overwrite` is false, or if the path is no file: a device
 * node, FIFO, socket, directory or symbolic link is never replaced.
 */
export async function assertReplaceable(path: string, overwrite: boolean): Promise<void> {
  const facts = await orMissing(lstat(path));
  if (facts === undefined || (facts.isFile() && overwrite)) return;
  if (facts.isFile()) throw exists(path);
  const hint = facts.isDirectory()
    ? 'name a file in it, or end it with / to get each disk as a file in it'
    : facts.isSymbolicLink()
      ? `name its target ${await readlink(path)}, or remove the link`
      : `write to it by standard output: virt-publish pull IMAGE - | dd of=${path} bs=4M`;
  const message = `${path} is ${kindOf(facts)}, and only a file can be replaced`;
  throw new PublishError('USAGE', message, { step: 'pull', hint });
}

/** rename(2) would replace a file made meanwhile; link(2), if the file system has it, does not. */
async function renameToNew(partial: string, file: string): Promise<void> {
  try {
    await link(partial, file);
  } catch (error) {
    if (!hasCode(error, 'EPERM', 'ENOTSUP', 'EMLINK')) throw error;
    await rename(partial, file);
    return;
  }
  await unlink(partial);
}

/** Checks the name: the open file was hashed, and its name may mean another file by now. */
async function assertNamed(file: FileHandle, path: string): Promise<void> {
  if (await isNamed(file, path)) return;
  const message = `another user replaced ${path} while it was pulled`;
  const hint = 'do not use that file; pull into a folder that only you can write to';
  throw new PublishError('INTEGRITY', message, { step: 'pull', hint });
}

function exists(file: string): PublishError {
  const hint = 'name another file, or replace it with --overwrite';
  return new PublishError('USAGE', `${file} exists already`, { step: 'pull', hint });
}
