// A folder in the work directory for a process that touches no guest. The next process removes those of dead ones.
import { randomUUID } from 'node:crypto';
import { readdir, readFile, readlink, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import {
  makeRunFolder,
  orWorkDirError,
  PRIVATE,
  prepareFolder,
  whyUntrusted,
} from '../../host/files/own-folders.ts';
import { removeFolder } from '../../host/files/remove-folder.ts';
import { processStartTime } from '../../host/process-start.ts';
import { endLeftovers } from '../lock/leftovers.ts';
import { readBootId, readMachineId } from './run-folder.ts';

export type ScratchPurpose = 'import' | 'pull';

/** The process that made a folder: enough to prove that it has ended. */
interface Owner {
  machineId: string | null;
  bootId: string;
  /** Pids are comparable only within one namespace. */
  pidNamespace: string;
  pid: number;
  /** Ticks since the boot: distinguishes it from a later process with the same pid. */
  startedAt: string;
}

export interface SweepListener {
  onRemoved?: (folder: string) => void;
  onFailed?: (folder: string, error: unknown) => void;
}

const OWNER_FILE = 'owner.json';
const NAME = /^(import|pull)-[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}$/;

/**
 * Gives `work` a new folder with mode 0700, and removes it when `work` settles.
 * @throws PublishError WORK_DIR, NO_SPACE if it cannot be made; what `work` throws.
 */
export async function withScratchFolder<T>(
  workDir: string,
  purpose: ScratchPurpose,
  work: (folder: string) => Promise<T>,
): Promise<T> {
  const folder = join(workDir, `${purpose}-${randomUUID()}`);
  await prepareFolder(workDir);
  await sweepScratch(workDir);
  await makeRunFolder(folder, PRIVATE);
  try {
    await orWorkDirError(folder, writeOwner);
    return await work(folder);
  } finally {
    await removeFolder(folder);
  }
}

/**
 * Removes the folders in a work directory whose process is proved to have ended. Folders of another
 * host, container or user, and folders without a readable owner file, stay.
 */
export async function sweepScratch(workDir: string, listener: SweepListener = {}): Promise<void> {
  const names = await readdir(workDir).catch(() => []);
  for (const name of names.filter((one) => NAME.test(one))) {
    const folder = join(workDir, name);
    try {
      const why = await whyUntrusted(folder);
      if (why) throw new Error(why);
      if (!(await isOwnerDead(folder))) continue;
      await endLeftovers(folder);
      await removeFolder(folder);
      listener.onRemoved?.(folder);
    } catch (error) {
      listener.onFailed?.(folder, error);
    }
  }
}

async function writeOwner(folder: string): Promise<void> {
  const owner = JSON.stringify(await describeSelf());
  await writeFile(join(folder, OWNER_FILE), owner, { flag: 'wx', mode: 0o600 });
}

async function isOwnerDead(folder: string): Promise<boolean> {
  const owner = await readOwner(folder);
  if (!owner || owner.machineId !== (await readMachineId())) return false;
  if (owner.bootId !== (await readBootId())) return true;
  if (owner.pidNamespace !== (await readlink('/proc/self/ns/pid'))) return false;
  return (await processStartTime(owner.pid)) !== owner.startedAt;
}

/** Returns undefined if the file is not written yet, or is being removed. */
async function readOwner(folder: string): Promise<Owner | undefined> {
  const text = await readFile(join(folder, OWNER_FILE), 'utf8').catch(() => '');
  try {
    return JSON.parse(text) as Owner;
  } catch (error) {
    if (error instanceof SyntaxError) return undefined;
    throw error;
  }
}

async function describeSelf(): Promise<Owner> {
  return {
    machineId: await readMachineId(),
    bootId: await readBootId(),
    pidNamespace: await readlink('/proc/self/ns/pid'),
    pid: Number(await readlink('/proc/self')),
    startedAt: (await processStartTime('self')) ?? '',
  };
}
