// Runs a small program as another user, to find out what that user may do; needs root.
import { execFile } from 'node:child_process';
import { promisify } from 'node:util';

const run = promisify(execFile);

export interface UserIds {
  uid: number;
  gid: number;
  /** Supplementary groups; none if left out. */
  groups?: readonly number[];
}

export interface RunLimits {
  signal: AbortSignal;
  timeoutMs: number;
}

/** @throws the failure of the program, also at its deadline and after an abort. */
export async function runAs(
  { uid, gid, groups = [] }: UserIds,
  command: readonly string[],
  { signal, timeoutMs }: RunLimits,
): Promise<void> {
  const others = groups.length === 0 ? '--clear-groups' : `--groups=${groups.join(',')}`;
  await run('setpriv', [`--reuid=${uid}`, `--regid=${gid}`, others, '--', ...command], {
    signal,
    timeout: timeoutMs,
    env: { PATH: '/usr/sbin:/usr/bin:/sbin:/bin', LC_ALL: 'C' },
  });
}
