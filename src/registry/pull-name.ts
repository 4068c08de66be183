// Gives a file that is whole its name, without replacing what somebody else made meanwhile.
import { link, rename, unlink } from 'node:fs/promises';
import { dirname } from 'node:path';
import { hasCode, PublishError } from '../errors.ts';
import { syncFolder } from './directory-files.ts';
import { orMissing } from './file-errors.ts';

/**
 * Durably. Where it cannot be named, `partial` is removed.
 * @throws USAGE where FILE is there and is not to be replaced; what the file system says.
 */
export async function nameFile(partial: string, file: string, overwrite: boolean): Promise<void> {
  try {
    if (overwrite) await rename(partial, file);
    else await renameToNew(partial, file);
  } catch (error) {
    await orMissing(unlink(partial));
    throw hasCode(error, 'EEXIST') ? exists(file) : error;
  }
  await syncFolder(dirname(file));
}

/** rename(2) would replace what somebody made meanwhile; link(2) does not, where there is one. */
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

export function exists(file: string): PublishError {
  const message = `${file} is there already; name another file, or say that it may be replaced.`;
  return new PublishError('USAGE', message, { step: 'pull' });
}
