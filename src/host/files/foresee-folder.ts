// Whether a folder could be made ready for a run, found out without a change.
import { access, constants, stat } from 'node:fs/promises';
import { dirname, resolve } from 'node:path';
import { hasCode } from '../../core/errors.ts';
import { isMissing, isTrustedFolder, workDirError } from './own-folders.ts';

/** @throws PublishError WORK_DIR as `prepareFolder` would */
export async function foreseeFolder(path: string): Promise<void> {
  const lowest = resolve(path);
  const there = (await isTrustedFolder(lowest)) ? lowest : await nearestAbove(lowest);
  try {
    await access(there, constants.W_OK | constants.X_OK);
  } catch (error) {
    const isReadOnly = hasCode(error, 'EROFS');
    const why = isReadOnly ? 'its file system is read-only' : 'this user may not write there';
    throw workDirError(`nothing can be made in ${there}: ${why}`);
  }
}

/** The lowest folder above the path that exists. */
async function nearestAbove(path: string): Promise<string> {
  for (let at = dirname(path); ; at = dirname(at)) {
    try {
      if ((await stat(at)).isDirectory()) return at;
      throw workDirError(`cannot make the folder ${path}: ${at} is no directory`);
    } catch (error) {
      if (!isMissing(error) || at === dirname(at)) throw error;
    }
  }
}
