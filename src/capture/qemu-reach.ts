// Whether QEMU could open a delta in a work directory, found out without a change.
import { execFile } from 'node:child_process';
import { userInfo } from 'node:os';
import { join } from 'node:path';
import { promisify } from 'node:util';
import { PublishError } from '../errors.ts';
import type { Domain } from '../libvirt/domain.ts';
import { closedForQemu, describeClosed, type QemuIds, refuseUnownable } from './delta-owner.ts';

const run = promisify(execFile);

/**
 * `prepared`: the directories that a run makes ready first.
 *
 * NOTE: mode bits say no where an access control list may say yes. Root tries it as QEMU's user; any
 * other user cannot, and gets a warning.
 * @throws PublishError WORK_DIR if a folder keeps QEMU out; DISK_UNSUPPORTED as `giveToQemu`
 */
export async function refuseUnreachable(
  domain: Domain,
  { workDir, prepared }: { workDir: string; prepared: readonly string[] },
  warn: (message: string) => void,
): Promise<void> {
  await refuseUnownable(domain);
  const closed = await closedForQemu(domain, join(workDir, 'run', 'delta'), prepared);
  if (closed === undefined) return;
  if (userInfo().uid !== 0) return warn(describeClosed(closed));
  if (await mayPass(closed.folder, closed.ids)) return;
  throw new PublishError('WORK_DIR', describeClosed(closed), { step: 'delta' });
}

async function mayPass(folder: string, { uid, gid, groups }: QemuIds): Promise<boolean> {
  const others = groups.length === 0 ? '--clear-groups' : `--groups=${groups.join(',')}`;
  const as = [`--reuid=${uid}`, `--regid=${gid}`, others, '--', 'test', '-x', folder];
  try {
    await run('setpriv', as, { env: { PATH: '/usr/sbin:/usr/bin:/sbin:/bin', LC_ALL: 'C' } });
    return true;
  } catch {
    return false;
  }
}
