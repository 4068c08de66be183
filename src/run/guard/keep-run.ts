// Writes the files again that recover or a recovery command needs if the run's folder was removed.
import { access, mkdtemp } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { basename, dirname, join } from 'node:path';
import { makeFoldersDurably, PRIVATE, whyUntrusted } from '../../host/files/own-folders.ts';
import { JOURNAL_FILE, Journal, type PendingAct, type RunFacts } from '../journal/journal.ts';
import { writeSecret } from '../journal/run-folder.ts';

/**
 * Ensures that a file with this content and mode 0600 exists: at `path`, or in a new temporary folder
 * if `path` is not writable. Resolves to its path.
 * @throws the file system's error if neither can be written.
 */
export async function keepSecret(path: string, content: string): Promise<string> {
  if (await exists(path)) return path;
  try {
    await makeFolder(dirname(path));
    await writeSecret(path, content);
    return path;
  } catch {
    // The state directory is full, read-only or missing; the content matters, not the place.
    const other = join(await mkdtemp(join(tmpdir(), 'virt-publish-')), basename(path));
    await writeSecret(other, content);
    return other;
  }
}

/**
 * Writes the journal of a run again if it is missing, with the pending acts.
 * @throws PublishError NO_SPACE, WORK_DIR; the file system's error.
 */
export async function keepJournal(
  runPath: string,
  facts: RunFacts,
  pending: readonly PendingAct[],
): Promise<void> {
  const path = join(runPath, JOURNAL_FILE);
  if (await exists(path)) return;
  await makeFolder(runPath);
  const journal = await Journal.create(path);
  try {
    await journal.write({ type: 'run', facts });
    for (const act of pending) await journal.write({ type: 'intent', ...act });
  } finally {
    await journal.close();
  }
}

async function makeFolder(path: string): Promise<void> {
  await makeFoldersDurably(path, PRIVATE);
  const why = await whyUntrusted(path);
  if (why) throw new Error(`${path} is not used: ${why}`);
}

async function exists(path: string): Promise<boolean> {
  return access(path).then(
    () => true,
    () => false,
  );
}
