// Removes a run's folders, unless a guest or a process uses a file in them.
import { basename } from 'node:path';
import { PublishError } from '../core/errors.ts';
import { shellQuote } from '../core/shell-quote.ts';
import { Host } from '../libvirt/host.ts';
import { virsh } from './acts/guest-context.ts';
import { JOURNAL_FILE, type RunFacts } from './journal/journal.ts';
import { type RunFolder, removeRunFolder, whyNotScratch } from './journal/run-folder.ts';
import { type FileUser, findFileUsers } from './lock/file-users.ts';

/**
 * Removes both folders of a run.
 *
 * NOTE: if another client pivots a mirror, the guest uses the run's delta from then on. So a file
 * that live or stored XML names, or that a process has open, is never removed.
 * @throws PublishError GUEST_NOT_RESTORED if a domain needs a file, or a QEMU writes to it; WORK_DIR
 * (retryable) if another process has one open; LIBVIRT if libvirt does not answer. Nothing is
 * removed then.
 */
export async function removeUnusedRun(folder: RunFolder, host: Host): Promise<void> {
  const users = (await findFileUsers(folder.scratch, host)).filter(isNoJournal);
  const vital = users.filter(({ isVital }) => isVital);
  if (vital.length > 0) throw inUse(vital, host);
  if (users.length > 0) {
    throw new PublishError('WORK_DIR', describe(users), {
      step: 'restore',
      retryable: true,
      hint: 'end that process, then run virt-publish recover to remove the files',
    });
  }
  await removeRunFolder(folder);
}

/** Returns the run's scratch folder; its folder in the state directory if the journal names no valid one. */
export async function ownScratch(
  { runId, path }: { runId: string; path: string },
  { scratch }: Pick<RunFacts, 'scratch'>,
  onNote: (note: string) => void,
): Promise<string> {
  const why = await whyNotScratch(runId, scratch);
  if (why === undefined) return scratch;
  onNote(`${scratch} is not removed: ${why}; find out who made it, then remove it by hand`);
  return path;
}

/** A guard that is about to end may have the journal open. */
function isNoJournal({ path }: FileUser): boolean {
  return basename(path) !== JOURNAL_FILE;
}

/** `removeUnusedRun` for a dead run, on a libvirt connection of its own. @throws like `removeUnusedRun` */
export async function removeDeadRun(
  folder: RunFolder,
  uri: string,
  callTimeoutMs: number,
): Promise<void> {
  const host = new Host(uri, { callMs: callTimeoutMs });
  try {
    await removeUnusedRun(folder, host);
  } finally {
    await host.close();
  }
}

function inUse(users: readonly FileUser[], host: Host): PublishError {
  const paths = [...new Set(users.map(({ path }) => shellQuote(path)))];
  return new PublishError('GUEST_NOT_RESTORED', describe(users), {
    step: 'restore',
    hint: 'move the guest to other files, then run virt-publish recover; these files are kept',
    recoveryCommand: `${virsh(host)} list --all --name; fuser -v ${paths.join(' ')}`,
  });
}

function describe(users: readonly FileUser[]): string {
  return users.map(({ path, by }) => `${by} uses ${path} of this run`).join('; ');
}
