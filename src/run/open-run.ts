// A run's folders and journal: made before its first act, removed after its last.
import { realpath } from 'node:fs/promises';
import { dirname, join } from 'node:path';
import { messageOf, PublishError } from '../core/errors.ts';
import { makeRunFolder, PASSABLE, PRIVATE } from '../host/files/own-folders.ts';
import type { Host } from '../libvirt/host.ts';
import {
  JOURNAL_FILE,
  Journal,
  PARKED_POINT,
  pendingActs,
  type RunFacts,
  reached,
  readJournal,
  STATE_DIR_HINT,
} from './journal/journal.ts';
import {
  prepareDirectories,
  type RunFolder,
  readBootId,
  readMachineId,
  runFolder,
} from './journal/run-folder.ts';
import { removeUnusedRun } from './remove-run.ts';

export interface OpenRun {
  folder: RunFolder;
  journal: Journal;
}

export interface RunPlace {
  stateDir: string;
  workDir: string;
  /** True if QEMU opens a file in the scratch folder, which gets mode 0711; else 0700. */
  forQemu?: boolean;
  /** The libvirt whose domains may use a file of the run. */
  host: Host;
  /** Called if the folders could not be removed after the work. */
  onWarning: (message: string) => void;
}

type GivenFacts = Omit<RunFacts, 'pid' | 'bootId' | 'machineId' | 'scratch'>;

/**
 * Gives `work` a folder and a journal, and removes both when it settles. They stay if the guest
 * could not be restored: recover needs the saved XML in them.
 * @throws PublishError WORK_DIR, NO_SPACE; what `work` throws.
 */
export async function withRun<T>(
  facts: GivenFacts,
  place: RunPlace,
  work: (run: OpenRun) => Promise<T>,
): Promise<T> {
  await prepareDirectories(place.stateDir, place.workDir);
  const folder = await placeOf(facts.runId, place);
  const mode = place.forQemu ? PASSABLE : PRIVATE;
  await makeRunFolder(folder.path, folder.path === folder.scratch ? mode : PRIVATE);
  // Until the scratch folder is made, only the run's own folder may be removed: a scratch folder that
  // existed before belongs to another process or user.
  const made = { ...folder, scratch: folder.path };
  let result: T;
  try {
    result = await withJournal(facts, { folder, made, mode }, work);
  } catch (error) {
    if (!(isNotRestored(error) || (await isParked(folder)))) await remove(made, place, error);
    throw error;
  }
  if (!(await isParked(folder))) await remove(made, place, undefined);
  return result;
}

function isNotRestored(error: unknown): error is PublishError {
  return error instanceof PublishError && error.code === 'GUEST_NOT_RESTORED';
}

/** One folder serves as both if the work directory is `runs` in the state directory, by any path. */
async function placeOf(runId: string, place: RunPlace): Promise<RunFolder> {
  const folder = runFolder(runId, place);
  const [runs, work] = await Promise.all(
    [dirname(folder.path), place.workDir].map((path) => realpath(path)),
  );
  return runs === work ? { ...folder, scratch: folder.path } : folder;
}

async function withJournal<T>(
  facts: GivenFacts,
  { folder, made, mode }: { folder: RunFolder; made: RunFolder; mode: number },
  work: (run: OpenRun) => Promise<T>,
): Promise<T> {
  const journal = await createJournal(folder);
  try {
    await journal.write({ type: 'run', facts: await completeFacts(facts, folder) });
    // After the entry that names it: a scratch folder that no journal names would never be removed.
    if (folder.scratch !== folder.path) await makeRunFolder(folder.scratch, mode);
    made.scratch = folder.scratch;
    return await work({ folder, journal });
  } finally {
    await journal.close();
  }
}

async function createJournal({ path }: RunFolder): Promise<Journal> {
  try {
    return await Journal.create(join(path, JOURNAL_FILE));
  } catch (error) {
    throw new PublishError(
      'WORK_DIR',
      `cannot create the run's journal in ${path}: ${messageOf(error)}`,
      { step: 'space', cause: error, hint: STATE_DIR_HINT },
    );
  }
}

/** Whether the guard still waits for the guest; false if the journal is unreadable. */
async function isParked({ path }: RunFolder): Promise<boolean> {
  const entries = await readJournal(join(path, JOURNAL_FILE)).catch(() => []);
  return reached(entries, PARKED_POINT) !== undefined && pendingActs(entries).length > 0;
}

/**
 * Removes the folders. A failure is a warning: it must not turn a finished run into a failed one, nor
 * hide why a run failed.
 * @throws PublishError GUEST_NOT_RESTORED if a guest needs a file in them, with `cause`.
 */
async function remove(
  folder: RunFolder,
  { host, onWarning }: RunPlace,
  cause: unknown,
): Promise<void> {
  try {
    await removeUnusedRun(folder, host);
  } catch (error) {
    if (isNotRestored(error)) {
      const { code, message, step, hint, recoveryCommand } = error;
      throw new PublishError(code, message, {
        step: step ?? 'restore',
        hint,
        recoveryCommand: recoveryCommand ?? '',
        cause,
      });
    }
    onWarning(
      `cannot remove the run's files: ${messageOf(error)}; virt-publish recover removes them later`,
    );
  }
}

async function completeFacts(facts: GivenFacts, folder: RunFolder): Promise<RunFacts> {
  const ids = { bootId: await readBootId(), machineId: await readMachineId() };
  return { ...facts, pid: process.pid, ...ids, scratch: folder.scratch };
}
