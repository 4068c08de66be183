// An object of the registry to a local file: verified while it is read, named only when it is whole.
import { createHash } from 'node:crypto';
import { constants, type FileHandle, link, open, rename, stat, unlink } from 'node:fs/promises';
import { dirname } from 'node:path';
import { PublishError } from '../errors.ts';
import { interruption } from './deadline.ts';
import { syncFolder, withFile } from './directory-files.ts';
import { fileError, hasCode, orMissing } from './file-errors.ts';
import type { ObjectStore } from './object-store.ts';
import { type RetryPolicy, withRetries } from './retry.ts';

export interface PullOptions {
  signal?: AbortSignal | undefined;
  /** Bytes read so far. */
  onProgress?: ((bytes: number) => void) | undefined;
  /** Replaces FILE where it is there. */
  overwrite?: boolean;
}

export interface PullSource {
  key: string;
  size: number;
  sha256: string;
}

/**
 * Writes FILE.partial, holds size and sha256 against the record's, and only then gives it its
 * name; on failure neither file is there.
 * @throws INTEGRITY, USAGE (FILE is there), REGISTRY, NO_SPACE, INTERRUPTED.
 */
export async function pullFile(
  store: ObjectStore,
  source: PullSource,
  file: string,
  options: PullOptions & { policy: RetryPolicy },
): Promise<void> {
  const partial = `${file}.partial`;
  try {
    if (!options.overwrite && (await orMissing(stat(file))) !== undefined) throw exists(file);
    await writePartial(store, source, partial, options);
    await nameIt(partial, file, options.overwrite ?? false);
  } catch (error) {
    throw fileError(error, `Pulling ${source.key} to ${file}`, 'pull');
  }
}

async function writePartial(
  store: ObjectStore,
  source: PullSource,
  partial: string,
  options: PullOptions & { policy: RetryPolicy },
): Promise<void> {
  const { O_CREAT, O_WRONLY, O_TRUNC, O_NOFOLLOW } = constants;
  const output = await open(partial, O_CREAT | O_WRONLY | O_TRUNC | O_NOFOLLOW, 0o640);
  try {
    await withFile(output, async () => {
      await copyVerified(store, source, output, options);
      await output.sync();
    });
  } catch (error) {
    await orMissing(unlink(partial));
    throw error;
  }
}

/** A stream that breaks is opened again where it broke. */
async function copyVerified(
  store: ObjectStore,
  { key, size, sha256 }: PullSource,
  output: FileHandle,
  { signal, onProgress, policy }: PullOptions & { policy: RetryPolicy },
): Promise<void> {
  const hash = createHash('sha256');
  const writer = new BatchWriter(output);
  await withRetries(policy, { signal, step: 'pull' }, async () => {
    // Past its end an object has no range to give.
    if (writer.taken > 0 && writer.taken >= size) return;
    const stream = await store.openRead(key, { start: writer.taken, signal });
    if (stream === undefined) throw damaged(`${key} is not in ${store.url}`);
    for await (const chunk of stream as AsyncIterable<Uint8Array>) {
      if (signal?.aborted) throw interruption(signal, 'pull');
      if (writer.taken + chunk.byteLength > size) {
        throw damaged(`${key} has more than its ${size} bytes`);
      }
      hash.update(chunk);
      await writer.take(chunk);
      onProgress?.(writer.taken);
    }
  });
  await writer.finish();
  if (writer.taken !== size) {
    throw damaged(`${key} has ${writer.taken} bytes, but its record says ${size}`);
  }
  const found = hash.digest('hex');
  if (found === sha256) return;
  throw damaged(`${key} has the sha256 ${found}, but its record says ${sha256}`);
}

const BATCH_BYTES = 1024 * 1024;

/**
 * Writes chunks one after the other, a MiB at once, while the next ones arrive and are hashed: a
 * socket gives 64 KiB at a time, and a trip to the thread pool for each costs more than the copy.
 */
class BatchWriter {
  /** Bytes taken so far, written or about to be. */
  taken = 0;
  readonly #file: FileHandle;
  #batch: Uint8Array[] = [];
  #batchBytes = 0;
  #written = 0;
  #writing: Promise<void> = Promise.resolve();

  constructor(file: FileHandle) {
    this.#file = file;
  }

  async take(chunk: Uint8Array): Promise<void> {
    this.#batch.push(chunk);
    this.#batchBytes += chunk.byteLength;
    this.taken += chunk.byteLength;
    if (this.#batchBytes >= BATCH_BYTES) await this.#flush();
  }

  async finish(): Promise<void> {
    await this.#flush();
    await this.#writing;
  }

  async #flush(): Promise<void> {
    await this.#writing;
    const bytes = Buffer.concat(this.#batch);
    this.#writing = this.#write(bytes, this.#written);
    // Raised by the next flush; until then it must not count as unhandled.
    this.#writing.catch(() => undefined);
    this.#written += bytes.byteLength;
    this.#batch = [];
    this.#batchBytes = 0;
  }

  async #write(bytes: Uint8Array, at: number): Promise<void> {
    for (let done = 0; done < bytes.byteLength; ) {
      const left = bytes.byteLength - done;
      done += (await this.#file.write(bytes, done, left, at + done)).bytesWritten;
    }
  }
}

async function nameIt(partial: string, file: string, overwrite: boolean): Promise<void> {
  try {
    if (overwrite) await rename(partial, file);
    else await renameToNew(partial, file);
  } catch (error) {
    await orMissing(unlink(partial));
    throw hasCode(error, 'EEXIST') ? exists(file) : error;
  }
  await syncFolder(dirname(file));
}

/** rename(2) would replace what somebody made meanwhile; link(2) does not, where there is one. */
async function renameToNew(partial: string, file: string): Promise<void> {
  try {
    await link(partial, file);
  } catch (error) {
    if (!hasCode(error, 'EPERM', 'ENOTSUP', 'EMLINK')) throw error;
    await rename(partial, file);
    return;
  }
  await unlink(partial);
}

function exists(file: string): PublishError {
  const message = `${file} is there already; name another file, or say that it may be replaced.`;
  return new PublishError('USAGE', message, { step: 'pull' });
}

function damaged(what: string): PublishError {
  const message = `${what}; the image is damaged and no file was written.`;
  return new PublishError('INTEGRITY', message, { step: 'pull' });
}
