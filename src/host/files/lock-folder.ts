// Where the lock files lie: in a folder that no other user can enter, the same for every process of a user.
import { chmodSync, lstatSync, statSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { hasCode, messageOf, PublishError } from '../../core/errors.ts';
import { currentUser } from '../../core/user.ts';
import { makeFolders, ownUid, PRIVATE } from './own-folders.ts';

/**
 * The folder of the lock files, made if it is missing: the first of `places` that can be.
 *
 * NOTE: nothing of the environment decides, since a cron job and a shell of one user must find the
 * same folder. Another user could hold a lock for ever in a folder that he may enter, even one where
 * he may only read: so the lock of root is not seen by other users, nor theirs by root.
 * @throws PublishError WORK_DIR if none can be made, or if it is another user's.
 */
export function lockFolder(places: readonly string[] = placesOf(ownUid())): string {
  const failures: string[] = [];
  for (const path of places) {
    try {
      // On a host with no such directory of run-time files it is not for us to make it.
      if (isRuntimePlace(path)) statSync(dirname(path));
      makeFolders(path, PRIVATE);
      closeToOthers(path);
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
  // NOTE: /run/user/UID comes with a user's first login and goes with the last logout.
  return [join(currentUser().home, '.local/state/virt-publish/locks')];
}

function isRuntimePlace(path: string): boolean {
  return path.startsWith('/run/');
}

function closeToOthers(path: string): void {
  const facts = lstatSync(path);
  if (!facts.isDirectory() || facts.uid !== ownUid()) {
    throw new Error(`${path} is no folder of this user`);
  }
  if ((facts.mode & 0o077) !== 0) chmodSync(path, PRIVATE);
}

function failed(cause: unknown): PublishError {
  const message = `the folder for lock files cannot be used: ${messageOf(cause)}; see who made it, and what keeps this user from it`;
  return new PublishError('WORK_DIR', message, { step: 'inspect', cause });
}
