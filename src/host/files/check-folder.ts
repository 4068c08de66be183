// Checks, without a change, whether a folder can be prepared for a run.
import { access, constants, stat } from 'node:fs/promises';
import { dirname, resolve } from 'node:path';
import { hasCode } from '../../core/errors.ts';
import { isMissing, isTrustedFolder, workDirError } from './own-folders.ts';

/** @throws PublishError WORK_DIR if `prepareFolder` would. */
export async function checkFolder(path: string): Promise<void> {
  const lowest = resolve(path);
  const existing = (await isTrustedFolder(lowest)) ? lowest : await nearestAbove(lowest);
  try {
    await access(existing, constants.W_OK | constants.X_OK);
  } catch (error) {
    const isReadOnly = hasCode(error, 'EROFS');
    const why = isReadOnly ? 'its file system is read-only' : 'this user may not write there';
    throw workDirError(`cannot create files in ${existing}: ${why}`);
  }
}

/** Returns the lowest existing folder above the path. */
async function nearestAbove(path: string): Promise<string> {
  for (let at = dirname(path); ; at = dirname(at)) {
    try {
      if ((await stat(at)).isDirectory()) return at;
      throw workDirError(`cannot create the folder ${path}: ${at} is no directory`);
    } catch (error) {
      if (!isMissing(error) || at === dirname(at)) throw error;
    }
  }
}
