// A local file that cannot change during the import: under a lease, or as a copy.
import { setMaxListeners } from 'node:events';
import { constants, createReadStream } from 'node:fs';
import { chmod, copyFile, type FileHandle, readlink, rm } from 'node:fs/promises';
import { join } from 'node:path';
import { addAbortSignal } from 'node:stream';
import { hasCode, PublishError } from '../../core/errors.ts';
import { runStep } from '../../core/events.ts';
import { assertNotInUse } from './examine.ts';
import { writeBounded } from './fetch/write-bounded.ts';
import { boundsOf, type ImportSettings, reportBytes } from './import-settings.ts';
import { openSource } from './open-source.ts';

export interface StillFile {
  path: string;
  names: readonly string[];
  /** Whether the file was made for this run, and may be moved or removed. */
  isScratch: boolean;
  /** @throws PublishError IMAGE_REFUSED if its bytes may have changed */
  assertUnchanged(): Promise<void>;
}

/** `access` resolves when the registry answers; nothing is copied to the folder before that. */
export interface Place {
  folder: string;
  access: Promise<void>;
}

interface Lease {
  isHeld(): boolean;
  drop(): void;
}

/** How long a process that opens the file for writing waits; its open ends the import. */
const LOOK_EVERY_MS = 100;

/**
 * Calls `work` with the file that the settings name, which stays what it is: it is read through one
 * descriptor with a read lease, and a process that opens it for writing aborts the signal that `work`
 * gets. If there is no lease to be had (a file of another user, a network file system), `work` gets
 * a copy in the folder.
 * @throws what `openSource` throws; IMAGE_REFUSED if a process has it open for writing, NO_SPACE
 */
export async function withStillFile<T>(
  settings: ImportSettings,
  { folder, access }: Place,
  work: (still: StillFile, settings: ImportSettings) => Promise<T>,
): Promise<T> {
  const { source } = settings;
  const { file, names } = await openSource(source);
  try {
    const { takeReadLease, hasReadLease, dropLease } = await import(
      '../../host/native/file-calls.ts'
    );
    const answer = takeReadLease(file.fd);
    if (answer === 'writer') throw inUse(source);
    // Child processes can open this path too, even if another file has the name by then.
    const path = `/proc/${await readlink('/proc/self')}/fd/${file.fd}`;
    const lease = { isHeld: () => hasReadLease(file.fd), drop: () => dropLease(file.fd) };
    if (answer === 'taken')
      return await whileLeased(lease, settings, (limited, assertUnchanged) =>
        work({ path, names, isScratch: false, assertUnchanged }, limited),
      );
    await access;
    const copy = await copyOf(file, { path, folder, settings });
    return await work({ path: copy, names, isScratch: true, assertUnchanged: unchanged }, settings);
  } catch (error) {
    throw withName(error, `/fd/${file.fd}`, source);
  } finally {
    // Drops the lease as well.
    await file.close();
  }
}

/** No other user can reach a file in the folder of a run. */
export function unchanged(): Promise<void> {
  return Promise.resolve();
}

async function whileLeased<T>(
  lease: Lease,
  settings: ImportSettings,
  work: (settings: ImportSettings, assertUnchanged: () => Promise<void>) => Promise<T>,
): Promise<T> {
  const broken = new AbortController();
  const look = () => {
    if (broken.signal.aborted || lease.isHeld()) return;
    lease.drop();
    broken.abort(changed(settings.source));
  };
  const timer = setInterval(look, LOOK_EVERY_MS);
  const signal = AbortSignal.any([settings.signal, broken.signal]);
  // Many requests at once listen to it, and Node takes more than ten for a leak.
  setMaxListeners(0, signal);
  try {
    return await work({ ...settings, signal }, async () => {
      look();
      broken.signal.throwIfAborted();
    });
  } catch (error) {
    throw broken.signal.aborted && !settings.signal.aborted ? broken.signal.reason : error;
  } finally {
    clearInterval(timer);
  }
}

/** A reflink if possible; else a copy, with holes for zeros. */
async function copyOf(
  file: FileHandle,
  { path, folder, settings }: { path: string; folder: string; settings: ImportSettings },
): Promise<string> {
  const { source, onEvent, signal } = settings;
  const copy = join(folder, 'copied');
  const before = await identity(file);
  await runStep(onEvent, 'copy', async () => {
    // On a file system without leases, QEMU's own locks show a guest.
    await assertNotInUse(path, settings);
    if (await reflinked(path, copy)) return;
    const { size } = await file.stat();
    const stream = createReadStream(path, { end: Math.max(0, size - 1), highWaterMark: 1024 ** 2 });
    const onProgress = (bytes: number) => reportBytes(settings, 'copy', bytes, size);
    const bounds = { ...boundsOf(settings, 'copy'), maxBytes: size, onProgress };
    await writeBounded(addAbortSignal(signal, stream), copy, bounds);
  });
  if ((await identity(file)) !== before) throw changed(source);
  return copy;
}

async function reflinked(from: string, to: string): Promise<boolean> {
  try {
    await copyFile(from, to, constants.COPYFILE_FICLONE_FORCE | constants.COPYFILE_EXCL);
    await chmod(to, 0o600);
    return true;
  } catch (error) {
    if (hasCode(error, 'ENOSPC', 'EDQUOT')) throw error;
    await rm(to, { force: true });
    return false;
  }
}

/** A write changes the file's times, and no process can set ctime back. */
async function identity(file: FileHandle): Promise<string> {
  const { dev, ino, size, ctimeNs, mtimeNs } = await file.stat({ bigint: true });
  return [dev, ino, size, ctimeNs, mtimeNs].join();
}

const LATER = 'import it again when no process writes to it';

function changed(source: string): PublishError {
  const message = `${source} was opened for writing or changed while it was imported`;
  return new PublishError('IMAGE_REFUSED', message, {
    step: 'check',
    retryable: true,
    hint: LATER,
  });
}

function inUse(source: string): PublishError {
  const message = `${source} is open for writing in another process (a guest, a download, a loop device)`;
  return new PublishError('IMAGE_REFUSED', message, {
    step: 'inspect',
    retryable: true,
    hint: LATER,
  });
}

/** Returns the error with the file's name in place of the path of its descriptor. */
function withName(error: unknown, descriptor: string, source: string): unknown {
  if (!(error instanceof PublishError)) return error;
  const pattern = new RegExp(`/proc/\\d+${descriptor}\\b`, 'g');
  const { code, message, hint, step, retryable, undoFailures, recoveryCommand, cause } = error;
  if (!pattern.test(message)) return error;
  const details = {
    ...(step && { step }),
    ...(recoveryCommand && { recoveryCommand }),
    hint,
    retryable,
    undoFailures,
    cause,
  };
  return new PublishError(
    code,
    message.replaceAll(pattern, () => source),
    details,
  );
}
