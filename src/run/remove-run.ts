// Removes what a run worked on, unless somebody has come to rely on it.
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
 * NOTE: another client that pivots a mirror has the guest go on in the run's delta. So nothing goes
 * that live or stored XML names, or a process has open.
 * @throws PublishError GUEST_NOT_RESTORED if a domain needs a file, or a QEMU writes to it;
 * WORK_DIR (retryable) if another process has one open; LIBVIRT if it cannot be asked. Nothing is removed then.
 */
export async function removeUnusedRun(folder: RunFolder, host: Host): Promise<void> {
  const users = (await findFileUsers(folder.scratch, host)).filter(isNoJournal);
  const vital = users.filter(({ isVital }) => isVital);
  if (vital.length > 0) throw inUse(vital, host);
  if (users.length > 0) {
    const message = `${describe(users)}; the files are kept, and virt-publish recover removes them later`;
    throw new PublishError('WORK_DIR', message, { step: 'restore', retryable: true });
  }
  await removeRunFolder(folder);
}

/** The run's scratch folder; its folder in the state directory if the journal names no such folder. */
export async function ownScratch(
  { runId, path }: { runId: string; path: string },
  { scratch }: Pick<RunFacts, 'scratch'>,
  onNote: (note: string) => void,
): Promise<string> {
  const why = await whyNotScratch(runId, scratch);
  if (why === undefined) return scratch;
  onNote(`${scratch} is not removed: ${why}; see who made it, and remove it by hand`);
  return path;
}

/** A guard that is about to end may have it open. */
function isNoJournal({ path }: FileUser): boolean {
  return basename(path) !== JOURNAL_FILE;
}

/** The same for a run whose libvirt has to be asked on a connection of its own. @throws as above */
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
  return new PublishError(
    'GUEST_NOT_RESTORED',
    `${describe(users)}; the files are kept: move the guest off them, and run virt-publish recover`,
    {
      step: 'restore',
      recoveryCommand: `${virsh(host)} list --all --name; fuser -v ${paths.join(' ')}`,
    },
  );
}

function describe(users: readonly FileUser[]): string {
  return users.map(({ path, by }) => `${path} of this run is in use by ${by}`).join('; ');
}
