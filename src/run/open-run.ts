// A run's folder and journal, made before its first act and gone after its last.
import { join } from 'node:path';
import { PublishError } from '../errors.ts';
import { JOURNAL_FILE, Journal, type RunFacts } from './journal.ts';
import { createRunFolder, type RunFolder, readBootId, removeRunFolder } from './run-folder.ts';

export interface OpenRun {
  folder: RunFolder;
  journal: Journal;
}

/**
 * Gives `work` a folder and a journal, and removes both when it settles. They stay where the guest
 * could not be put back: the saved XML in them is what mends it.
 * @throws PublishError WORK_DIR; what `work` throws.
 */
export async function withRun<T>(
  facts: Omit<RunFacts, 'pid' | 'bootId' | 'scratch'>,
  where: { stateDir: string; workDir: string },
  work: (run: OpenRun) => Promise<T>,
): Promise<T> {
  const folder = await createRunFolder(facts.runId, where);
  let isWhole = true;
  try {
    const journal = await Journal.create(join(folder.path, JOURNAL_FILE));
    try {
      await journal.write({ type: 'run', facts: await completeFacts(facts, folder) });
      return await work({ folder, journal });
    } finally {
      await journal.close();
    }
  } catch (error) {
    isWhole = !(error instanceof PublishError && error.code === 'GUEST_NOT_RESTORED');
    throw error;
  } finally {
    if (isWhole) await removeRunFolder(folder);
  }
}

async function completeFacts(
  facts: Omit<RunFacts, 'pid' | 'bootId' | 'scratch'>,
  folder: RunFolder,
): Promise<RunFacts> {
  return { ...facts, pid: process.pid, bootId: await readBootId(), scratch: folder.scratch };
}
