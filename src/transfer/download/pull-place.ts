// Checks whether FILE of a pull can be created, and turns failures of its file system into errors.
import { access, constants, lstat, stat } from 'node:fs/promises';
import { dirname } from 'node:path';
import { hasCode, messageOf, PublishError } from '../../core/errors.ts';
import { orMissing } from '../../host/files/file-errors.ts';

/** @throws what `placeError` returns, before any byte is fetched */
export async function assertPlace(file: string): Promise<void> {
  const folder = dirname(file);
  try {
    const isFolder = (await stat(folder)).isDirectory();
    if (!isFolder) throw unusable(`${folder} is no folder`);
    await access(folder, constants.W_OK | constants.X_OK);
    await orMissing(lstat(file));
  } catch (error) {
    throw placeError(error, file);
  }
}

/**
 * Returns a failure of the file system as USAGE if the path is wrong, NO_SPACE if the file system is
 * full, else WORK_DIR. A PublishError is returned unchanged.
 */
export function placeError(error: unknown, file: string): PublishError {
  if (error instanceof PublishError) return error;
  const folder = dirname(file);
  if (hasCode(error, 'ENOENT'))
    return unusable(`the folder ${folder} does not exist`, 'make it, or ');
  if (hasCode(error, 'ENOTDIR', 'EEXIST'))
    return unusable(`${folder} is no folder, or lies below a file`);
  if (hasCode(error, 'EACCES', 'EPERM'))
    return unusable(`this user may not write in ${folder}`, 'get that right, or ');
  if (hasCode(error, 'EROFS')) return unusable(`the file system of ${folder} is read-only`);
  if (hasCode(error, 'ENAMETOOLONG', 'ELOOP', 'EISDIR', 'ERR_INVALID_ARG_VALUE'))
    return unusable(`${file} cannot be written: ${String((error as { code?: string }).code)}`);
  if (hasCode(error, 'ENOSPC', 'EDQUOT')) {
    const hint = 'free some space, or name a file on a larger file system';
    const options = { step: 'pull', cause: error, hint } as const;
    return new PublishError('NO_SPACE', `no space left for ${file}`, options);
  }
  // Of a path through an open folder only the last name means something to a reader.
  const why = messageOf(error).replaceAll(/\/proc\/(self|\d+)\/fd\/\d+\/?/g, '');
  const hint = 'check that file system, or name another path';
  const options = { step: 'pull', cause: error, hint } as const;
  return new PublishError('WORK_DIR', `pulling to ${file} failed: ${why}`, options);
}

function unusable(what: string, advice = ''): PublishError {
  return new PublishError('USAGE', what, { step: 'pull', hint: `${advice}name another path` });
}
