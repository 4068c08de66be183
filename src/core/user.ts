// The user that this process runs as.
import { userInfo } from 'node:os';

export interface User {
  uid: number;
  gid: number;
  /** The home directory of the user database, else `$HOME`, else `/`. */
  home: string;
}

/**
 * Returns the effective user.
 *
 * NOTE: os.userInfo throws for a uid without an entry in the user database, as containers have.
 */
export function currentUser(): User {
  return { uid: process.geteuid?.() ?? 0, gid: process.getegid?.() ?? 0, home: homeOf() };
}

function homeOf(): string {
  try {
    return userInfo().homedir;
  } catch {
    return process.env.HOME || '/';
  }
}
