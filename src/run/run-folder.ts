// The folders of one run: what it must remember, and the large files it works on.
import { chmod, mkdir, open, readdir, readFile, rm } from 'node:fs/promises';
import { dirname, join } from 'node:path';
import { messageOf, PublishError } from '../errors.ts';
import { JOURNAL_FILE, syncDirectory } from './journal.ts';

/** The domain's XML as it was, in the run's folder. */
export const DOMAIN_XML_FILE = 'domain.xml';

export interface RunFolder {
  /** Below the state directory: `journal.ndjson` and `domain.xml`. */
  path: string;
  /** Below the work directory: the delta and the image. */
  scratch: string;
}

/** Where the folders of a run are to be. */
export function runFolder(
  runId: string,
  { stateDir, workDir }: { stateDir: string; workDir: string },
): RunFolder {
  return { path: join(runsFolder(stateDir), runId), scratch: join(workDir, runId) };
}

/** The folder of all runs in a state directory. */
export function runsFolder(stateDir: string): string {
  return join(stateDir, 'runs');
}

/**
 * Makes one folder of a run. It may be traversed by all, since QEMU's own user must reach the
 * delta, and listed by nobody else.
 * @throws PublishError WORK_DIR where it cannot be made.
 */
export async function makeRunFolder(path: string): Promise<void> {
  try {
    const first = await mkdir(path, { recursive: true });
    if (first !== undefined) await settleFolders(first, path);
  } catch (error) {
    throw new PublishError(
      'WORK_DIR',
      `cannot make the folder ${path}: ${messageOf(error)}; choose a directory you can write to with --work-dir`,
      { step: 'space', cause: error },
    );
  }
}

/**
 * NOTE: a umask of 077 would take the x from a mode given to mkdir, and QEMU's way with it. And a
 * journal survives a power cut only where the names of all folders above it do.
 */
async function settleFolders(first: string, last: string): Promise<void> {
  for (let path = last; path.length >= first.length; path = dirname(path)) {
    await chmod(path, 0o711);
    await syncDirectory(dirname(path));
  }
}

/** Writes a file that only its owner may read, and is on disk when the promise resolves. */
export async function writeSecret(path: string, content: string | Uint8Array): Promise<void> {
  const file = await open(path, 'wx', 0o600);
  try {
    await file.writeFile(content);
    await file.sync();
  } finally {
    await file.close();
  }
  await syncDirectory(dirname(path));
}

/** Removes both folders with all they hold; the journal goes last, as it says where the rest is. */
export async function removeRunFolder(folder: RunFolder): Promise<void> {
  if (folder.scratch !== folder.path) await rm(folder.scratch, { recursive: true, force: true });
  for (const name of await readdir(folder.path)) {
    if (name !== JOURNAL_FILE) await rm(join(folder.path, name), { recursive: true, force: true });
  }
  await rm(folder.path, { recursive: true, force: true });
}

/** The id of this host, which stays through all boots; null where it has none. */
export async function readMachineId(): Promise<string | null> {
  const id = await readFile('/etc/machine-id', 'utf8').catch(() => '');
  return id.trim() === '' ? null : id.trim();
}

/** The kernel's id of this boot: a process of another boot is dead, whatever its pid says. */
export async function readBootId(): Promise<string> {
  return (await readFile('/proc/sys/kernel/random/boot_id', 'utf8')).trim();
}
