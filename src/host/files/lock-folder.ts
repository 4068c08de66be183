// Finds the folder of the lock files: one for all processes of a user, closed to other users.
import { chmodSync, lstatSync, statSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { hasCode, messageOf, PublishError } from '../../core/errors.ts';
import { currentUser } from '../../core/user.ts';
import { makeFolders, ownUid, PRIVATE } from './own-folders.ts';

/**
 * Returns the folder of the lock files: the first of `places` that exists or can be created.
 *
 * NOTE: it does not depend on the environment, since a cron job and a shell of one user must find the
 * same folder. Another user could hold a lock forever in a folder that he may enter, even one that he
 * may only read. So root and other users do not see each other's locks.
 * @throws PublishError WORK_DIR if none can be created, or if it belongs to another user.
 */
export function lockFolder(places: readonly string[] = placesOf(ownUid())): string {
  const failures: string[] = [];
  for (const path of places) {
    try {
      // The directory of run-time files itself is never created.
      if (isRuntimePlace(path)) statSync(dirname(path));
      makeFolders(path, PRIVATE);
      makePrivate(path);
      return path;
    } catch (error) {
      if (!hasCode(error, 'ENOENT', 'ENOTDIR', 'EROFS', 'EACCES', 'EPERM')) throw failed(error);
      failures.push(messageOf(error));
    }
  }
  throw failed(new Error(failures.join('; ')));
}

function placesOf(uid: number): string[] {
  if (uid === 0) return ['/run/virt-publish', '/var/lib/virt-publish/locks'];
  // NOTE: not /run/user/UID, which is created at the first login and removed at the last logout.
  return [join(currentUser().home, '.local/state/virt-publish/locks')];
}

function isRuntimePlace(path: string): boolean {
  return path.startsWith('/run/');
}

function makePrivate(path: string): void {
  const facts = lstatSync(path);
  if (!facts.isDirectory() || facts.uid !== ownUid()) {
    throw new Error(`${path} does not belong to this user, or is no directory`);
  }
  if ((facts.mode & 0o077) !== 0) chmodSync(path, PRIVATE);
}

function failed(cause: unknown): PublishError {
  const message = `the folder of the lock files cannot be used: ${messageOf(cause)}`;
  const hint = 'correct the owner and the permissions of that folder, or remove it';
  return new PublishError('WORK_DIR', message, { step: 'inspect', cause, hint });
}
