// An object of the registry to a local file: fetched side by side, verified, named only when it is whole.
import { stat } from 'node:fs/promises';
import { hasCode, PublishError } from '../errors.ts';
import { formatBytes } from '../format-bytes.ts';
import { fileError, orMissing } from './file-errors.ts';
import type { ObjectStore } from './object-store.ts';
import { lockPull } from './pull-lock.ts';
import { exists, nameFile } from './pull-name.ts';
import { openPartial, type Partial, type PullSource, removePartial } from './pull-partial.ts';
import { fetchRanges, type PullPolicy } from './pull-ranges.ts';

export type { PullSource } from './pull-partial.ts';

export interface PullOptions {
  signal?: AbortSignal | undefined;
  /** Bytes that are there so far, with those of an earlier pull. */
  onProgress?: ((bytes: number) => void) | undefined;
  /** What is good to know: that a pull goes on, or that what was fetched is kept. */
  onNote?: ((message: string) => void) | undefined;
  /** Replaces FILE where it is there. */
  overwrite?: boolean;
}

type Options = PullOptions & { policy: PullPolicy };

/**
 * Fills FILE.partial, holds size and sha256 against the record's, and only then gives it its name.
 * What a pull that was ended has fetched is kept, and the next pull of the same object to the same
 * file goes on from it; where the data is wrong, or the file system is full, nothing is kept.
 * @throws INTEGRITY, USAGE (FILE is there, or another pull is at it), REGISTRY, NO_SPACE,
 * INTERRUPTED.
 */
export async function pullFile(
  store: ObjectStore,
  source: Omit<PullSource, 'etag'>,
  file: string,
  options: Options,
): Promise<void> {
  const path = `${file}.partial`;
  const lock = await lockPull(path, file);
  try {
    if (!options.overwrite && (await orMissing(stat(file))) !== undefined) throw exists(file);
    await fillPartial(store, source, path, options);
    await nameFile(path, file, options.overwrite ?? false);
    await removePartial(path);
  } catch (error) {
    throw fileError(error, `Pulling ${source.key} to ${file}`, 'pull');
  } finally {
    await lock.release();
  }
}

async function fillPartial(
  store: ObjectStore,
  { key, size, sha256 }: Omit<PullSource, 'etag'>,
  path: string,
  options: Options,
): Promise<void> {
  const { signal, policy, onNote } = options;
  const info = await store.stat(key, { signal });
  if (info === undefined) throw damaged(`${key} is not in ${store.url}`);
  if (info.size !== size) {
    throw damaged(`${key} has ${info.size} bytes, but its record says ${size}`);
  }
  const source = { key, size, sha256, etag: info.etag };
  for (;;) {
    const partial = await openPartial(path, source, rangeBytes(size, policy));
    const { resumedBytes } = partial;
    if (resumedBytes > 0) onNote?.(`going on: ${formatBytes(resumedBytes)} are there already`);
    const found = await fillOnce(store, source, partial, options);
    if (found === sha256) return;
    await removePartial(path);
    const wrong = `${key} has the sha256 ${found}, but its record says ${sha256}`;
    // NOTE: what an earlier pull left may have been harmed since (a power cut, another hand), and
    // that says nothing about the image: it is judged by what was fetched in one go.
    if (resumedBytes === 0) throw damaged(wrong);
    onNote?.(`${path} did not hold what was fetched before; fetching it anew`);
  }
}

/** The sha256 of what is in the file; it is on disk then. */
async function fillOnce(
  store: ObjectStore,
  source: PullSource,
  partial: Partial,
  options: Options,
): Promise<string> {
  try {
    const found = await fetchRanges(store, source, partial, options);
    if (found === source.sha256) await partial.sync();
    return found;
  } catch (error) {
    await keepOrRemove(partial, error, options);
    throw error;
  } finally {
    await partial.close();
  }
}

async function keepOrRemove(partial: Partial, error: unknown, { onNote }: Options): Promise<void> {
  const code = error instanceof PublishError ? error.code : undefined;
  const full = code === 'NO_SPACE' || hasCode(error, 'ENOSPC', 'EDQUOT');
  if (code === 'INTEGRITY' || full || partial.whole.size === 0) {
    await removePartial(partial.path);
    return;
  }
  onNote?.(`${partial.path} is kept: the same pull, run again, goes on from it`);
}

const MIB = 1024 * 1024;
const MOST_RANGE_MIB = 64;

/**
 * NOTE: a request costs server and client alike, so ranges are larger than the parts of an upload
 * where the object is; still every lane has many: a pull that is ended loses little, and what the
 * digest has yet to read when the last ranges come in, side by side, is little too.
 */
function rangeBytes(size: number, { partSizeMib, concurrency }: PullPolicy): number {
  const share = Math.ceil(size / MIB / (concurrency * 32));
  return Math.max(partSizeMib, Math.min(share, MOST_RANGE_MIB)) * MIB;
}

function damaged(what: string): PublishError {
  const message = `${what}; the image is damaged and no file was written.`;
  return new PublishError('INTEGRITY', message, { step: 'pull' });
}
