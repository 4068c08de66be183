// The directories that are used if the configuration names none.
import { isAbsolute, join } from 'node:path';
import { currentUser } from '../core/user.ts';

/** Returns the registry that is used if none is configured. */
export function defaultRegistry(stateDir: string): string {
  return join(stateDir, 'registry');
}

export function usualStateDir(env: NodeJS.ProcessEnv): string {
  if (currentUser().uid === 0) return '/var/lib/virt-publish';
  return join(xdgFolder(env, 'XDG_STATE_HOME', '.local/state'), 'virt-publish');
}

// NOTE: by the XDG specification a relative path is ignored.
export function xdgFolder(env: NodeJS.ProcessEnv, variable: string, below: string): string {
  const folder = env[variable];
  return folder !== undefined && isAbsolute(folder)
    ? folder
    : join(env.HOME || currentUser().home, below);
}
