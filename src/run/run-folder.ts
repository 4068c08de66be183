// The folders of one run: what it must remember, and the large files it works on.
import { mkdir, open, readFile, rm } from 'node:fs/promises';
import { dirname, join } from 'node:path';
import { messageOf, PublishError } from '../errors.ts';
import { syncDirectory } from './journal.ts';

export interface RunFolder {
  /** Below the state directory: `journal.ndjson` and `domain.xml`. */
  path: string;
  /** Below the work directory: the delta and the image. */
  scratch: string;
}

/**
 * Makes both folders of a run. They may be traversed by all, since QEMU's own user must reach the
 * delta, and listed by nobody else.
 * @throws PublishError WORK_DIR where one cannot be made.
 */
export async function createRunFolder(
  runId: string,
  where: { stateDir: string; workDir: string },
): Promise<RunFolder> {
  const folder = {
    path: join(where.stateDir, 'runs', runId),
    scratch: join(where.workDir, runId),
  };
  for (const path of new Set([folder.path, folder.scratch])) await makeFolder(path);
  return folder;
}

/** Writes a file that only its owner may read, and is on disk when the promise resolves. */
export async function writeSecret(path: string, content: string): Promise<void> {
  const file = await open(path, 'wx', 0o600);
  try {
    await file.writeFile(content);
    await file.sync();
  } finally {
    await file.close();
  }
  await syncDirectory(dirname(path));
}

/** Removes both folders with all they hold. */
export async function removeRunFolder(folder: RunFolder): Promise<void> {
  await rm(folder.scratch, { recursive: true, force: true });
  await rm(folder.path, { recursive: true, force: true });
}

/** The kernel's id of this boot: a process of another boot is dead, whatever its pid says. */
export async function readBootId(): Promise<string> {
  return (await readFile('/proc/sys/kernel/random/boot_id', 'utf8')).trim();
}

async function makeFolder(path: string): Promise<void> {
  try {
    await mkdir(path, { recursive: true, mode: 0o711 });
  } catch (error) {
    throw new PublishError(
      'WORK_DIR',
      `cannot make the folder ${path}: ${messageOf(error)}; choose a directory you can write to with --work-dir`,
      { step: 'space', cause: error },
    );
  }
}
