// Where things are kept if the configuration does not say.
import { isAbsolute, join } from 'node:path';
import { currentUser } from '../core/user.ts';

/** Where images are kept if no registry is configured. */
export function defaultRegistry(stateDir: string): string {
  return join(stateDir, 'registry');
}

export function usualStateDir(env: NodeJS.ProcessEnv): string {
  if (currentUser().uid === 0) return '/var/lib/virt-publish';
  return join(xdgFolder(env, 'XDG_STATE_HOME', '.local/state'), 'virt-publish');
}

// NOTE: the XDG specification has a relative path ignored.
export function xdgFolder(env: NodeJS.ProcessEnv, variable: string, below: string): string {
  const folder = env[variable];
  return folder !== undefined && isAbsolute(folder)
    ? folder
    : join(env.HOME || currentUser().home, below);
}
