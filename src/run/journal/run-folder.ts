// The two folders of a run: its journal and saved XML in the state directory, its large files in the work directory.
import { lstat, open, readFile } from 'node:fs/promises';
import { basename, dirname, isAbsolute, join, resolve } from 'node:path';
import { messageOf, PublishError } from '../../core/errors.ts';
import {
  isMissing,
  prepareFolder,
  syncDirectory,
  whyUntrusted,
} from '../../host/files/own-folders.ts';
import { removeFolder } from '../../host/files/remove-folder.ts';
import { JOURNAL_FILE } from './journal.ts';

/** The domain's stored XML from before the run, in the run's folder. */
export const DOMAIN_XML_FILE = 'domain.xml';

export interface RunFolder {
  /** Below the state directory: `journal.ndjson` and `domain.xml`. */
  path: string;
  /** Below the work directory: the delta and the image. */
  scratch: string;
}

/** Returns the paths of a run's folders. */
export function runFolder(
  runId: string,
  { stateDir, workDir }: { stateDir: string; workDir: string },
): RunFolder {
  return { path: resolve(runsFolder(stateDir), runId), scratch: resolve(workDir, runId) };
}

/** Returns the folder of all runs in a state directory. */
export function runsFolder(stateDir: string): string {
  return join(stateDir, 'runs');
}

/**
 * Creates or checks the directories that contain the folders of runs.
 * @throws PublishError WORK_DIR, NO_SPACE.
 */
export async function prepareDirectories(stateDir: string, workDir: string): Promise<void> {
  const runs = runsFolder(stateDir);
  for (const path of new Set([stateDir, runs, workDir])) await prepareFolder(path);
}

/**
 * Writes a new file with mode 0600, which is on disk when the promise resolves.
 * @throws PublishError WORK_DIR, NO_SPACE.
 */
export async function writeSecret(path: string, content: string | Uint8Array): Promise<void> {
  try {
    await writeDurably(path, content);
  } catch (cause) {
    throw new PublishError('WORK_DIR', `cannot write ${path}: ${messageOf(cause)}`, {
      step: 'space',
      cause,
      hint: 'choose another directory with --work-dir or VIRT_PUBLISH_STATE_DIR',
    });
  }
}

async function writeDurably(path: string, content: string | Uint8Array): Promise<void> {
  const file = await open(path, 'wx', 0o600);
  try {
    await file.writeFile(content);
    await file.sync();
  } finally {
    await file.close();
  }
  await syncDirectory(dirname(path));
}

/** Removes both folders with their content; the journal last, since it names the scratch folder. */
export async function removeRunFolder({ path, scratch }: RunFolder): Promise<void> {
  if (scratch !== path) await removeFolder(scratch);
  await removeFolder(path, JOURNAL_FILE);
}

/**
 * Returns why the scratch folder that a journal names was not made by its run; undefined if it was, or
 * does not exist. A valid one has the run's id as its name, and no other user may change it.
 */
export async function whyNotScratch(runId: string, scratch: string): Promise<string | undefined> {
  if (!isAbsolute(scratch) || basename(scratch) !== runId) return "its name is not the run's id";
  try {
    const why = await whyUntrusted(scratch);
    return why ?? ((await lstat(scratch)).isDirectory() ? undefined : 'it is no folder');
  } catch (error) {
    if (isMissing(error)) return undefined;
    throw error;
  }
}

/** Returns the id of this host, the same in all boots; null if it has none. */
export async function readMachineId(): Promise<string | null> {
  const id = await readFile('/etc/machine-id', 'utf8').catch(() => '');
  return id.trim() === '' ? null : id.trim();
}

/** Returns the kernel's id of this boot: a process of another boot is dead, even if its pid is in use. */
export async function readBootId(): Promise<string> {
  return (await readFile('/proc/sys/kernel/random/boot_id', 'utf8')).trim();
}
