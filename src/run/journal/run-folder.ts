// The folders of one run: what it must remember, and the large files it works on.
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
  return { path: resolve(runsFolder(stateDir), runId), scratch: resolve(workDir, runId) };
}

/** The folder of all runs in a state directory. */
export function runsFolder(stateDir: string): string {
  return join(stateDir, 'runs');
}

/**
 * Makes the directories that the folders of runs lie in ready for one more.
 * @throws PublishError WORK_DIR, NO_SPACE.
 */
export async function prepareDirectories(stateDir: string, workDir: string): Promise<void> {
  const runs = runsFolder(stateDir);
  for (const path of new Set([stateDir, runs, workDir])) await prepareFolder(path);
}

/**
 * Writes a new file that only its owner may read, and is on disk when the promise resolves.
 * @throws PublishError WORK_DIR, NO_SPACE.
 */
export async function writeSecret(path: string, content: string | Uint8Array): Promise<void> {
  try {
    await writeDurably(path, content);
  } catch (cause) {
    const message = `cannot write ${path}: ${messageOf(cause)}; choose another directory with --work-dir or VIRT_PUBLISH_STATE_DIR`;
    throw new PublishError('WORK_DIR', message, { step: 'space', cause });
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

/** Removes both folders with all they hold; the journal goes last, as it says where the rest is. */
export async function removeRunFolder({ path, scratch }: RunFolder): Promise<void> {
  if (scratch !== path) await removeFolder(scratch);
  await removeFolder(path, JOURNAL_FILE);
}

/**
 * Why the scratch folder that a journal names is none that its run has made; undefined if it is, or
 * is gone: it has the run's id as its name, in whatever work directory, and nobody else changes it.
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

/** The id of this host, which stays through all boots; null where it has none. */
export async function readMachineId(): Promise<string | null> {
  const id = await readFile('/etc/machine-id', 'utf8').catch(() => '');
  return id.trim() === '' ? null : id.trim();
}

/** The kernel's id of this boot: a process of another boot is dead, whatever its pid says. */
export async function readBootId(): Promise<string> {
  return (await readFile('/proc/sys/kernel/random/boot_id', 'utf8')).trim();
}
