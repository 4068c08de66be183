// Checks that QEMU could open a delta in a work directory, without changing anything.
import { join } from 'node:path';
import { PublishError } from '../../core/errors.ts';
import { currentUser } from '../../core/user.ts';
import { type RunLimits, runAs } from '../../host/files/run-as.ts';
import type { Domain } from '../../libvirt/domain.ts';
import { assertOwnable, closedForQemu, describeClosed, type QemuIds } from './delta-owner.ts';

/**
 * `prepared`: the directories that a run prepares first.
 *
 * NOTE: an access control list may allow what mode bits do not. Root tries it as QEMU's user; any other
 * user cannot, and gets a warning.
 * @throws PublishError WORK_DIR if QEMU cannot traverse a folder; DISK_UNSUPPORTED like `giveToQemu`
 */
export async function assertQemuReaches(
  domain: Domain,
  { workDir, prepared, ...limits }: { workDir: string; prepared: readonly string[] } & RunLimits,
  warn: (message: string) => void,
): Promise<void> {
  await assertOwnable(domain);
  const closed = await closedForQemu(domain, join(workDir, 'run', 'delta'), prepared);
  if (closed === undefined) return;
  const { message, hint } = describeClosed(closed);
  if (currentUser().uid !== 0) return warn(`${message}; ${hint}`);
  if (await mayPass(closed.folder, closed.ids, limits)) return;
  throw new PublishError('WORK_DIR', message, { step: 'delta', hint });
}

async function mayPass(folder: string, ids: QemuIds, limits: RunLimits): Promise<boolean> {
  try {
    await runAs(ids, ['test', '-x', folder], limits);
    return true;
  } catch {
    limits.signal.throwIfAborted();
    return false;
  }
}
