// Pulls an object into a local file: concurrent ranges, verified; the file gets its name when it is complete.
import type { FileHandle } from 'node:fs/promises';
import { hasCode, PublishError } from '../../core/errors.ts';
import { formatBytes } from '../../core/format-bytes.ts';
import type { DiskFormat } from '../../core/model.ts';
import { assertFlat } from '../../formats/assert-flat.ts';
import { bytesOfFile } from '../../formats/image-bytes.ts';
import type { ObjectStore } from '../../store/object-store.ts';
import { lockPull } from './pull-lock.ts';
import { assertReplaceable, nameFile } from './pull-name.ts';
import { openPartial, type Partial, type PullSource } from './pull-partial.ts';
import { assertPlace, placeError } from './pull-place.ts';
import { fetchRanges, type PullPolicy } from './pull-ranges.ts';

/** `format`: the format of a disk's data in the record; undefined for an artefact. */
export type PulledObject = Omit<PullSource, 'etag'> & { format: DiskFormat | undefined };

export interface PullOptions {
  signal?: AbortSignal | undefined;
  /** Called with the bytes fetched so far, including those of an earlier pull. */
  onProgress?: ((bytes: number) => void) | undefined;
  /** Notes for people: that a pull resumes, or that what was fetched is kept. */
  onNote?: ((message: string) => void) | undefined;
  /** Replaces FILE if it is a file. */
  overwrite?: boolean;
}

type Options = PullOptions & { policy: PullPolicy };

/**
 * Fills FILE.partial, holds size and sha256 against the record's and the header against
 * `assertFlat`, and only then gives it its name. What a pull that was ended has fetched is kept, and
 * the next pull of the same object to the same file resumes it; if the data is wrong, or the file
 * system is full, nothing is kept.
 * @throws INTEGRITY, IMAGE_REFUSED, USAGE (what is at FILE, or a partial file of another user's, is
 * not replaced; another pull is at it), REGISTRY, NO_SPACE, INTERRUPTED.
 */
export async function pullFile(
  store: ObjectStore,
  source: PulledObject,
  file: string,
  options: Options,
): Promise<void> {
  try {
    await assertPlace(file);
    // Before the lock, whose file lies beside it: that path may not be a folder for files.
    await assertReplaceable(file, options.overwrite ?? false);
    const path = `${file}.partial`;
    const lock = await lockPull(`${path}.ranges`, file);
    try {
      await pullLocked(store, source, { file, path, note: lock.note }, options);
    } finally {
      await lock.release();
    }
  } catch (error) {
    throw placeError(error, file);
  }
}

async function pullLocked(
  store: ObjectStore,
  source: PulledObject,
  to: { file: string; path: string; note: FileHandle },
  options: Options,
): Promise<void> {
  const partial = await fillPartial(store, source, to, options);
  try {
    await nameFile(partial, to.file, options.overwrite ?? false);
  } finally {
    await to.note.truncate(0);
    await partial.close();
  }
}

/** Resolves to the open file when it is complete, on disk and verified. */
async function fillPartial(
  store: ObjectStore,
  { key, size, sha256, format }: PulledObject,
  { path, note }: { path: string; note: FileHandle },
  options: Options,
): Promise<Partial> {
  const { signal, policy, onNote } = options;
  const info = await store.stat(key, { signal });
  if (info === undefined) throw damaged(`${key} is missing in ${store.url}`);
  if (info.size !== size) {
    throw damaged(`${key} has ${info.size} bytes, but its record says ${size}`);
  }
  const source = { key, size, sha256, etag: info.etag };
  for (;;) {
    const partial = await openPartial(path, note, source, rangeBytes(size, policy));
    const { resumedBytes } = partial;
    if (resumedBytes > 0) onNote?.(`resuming: ${formatBytes(resumedBytes)} were fetched before`);
    const found = await fillOnce(store, { ...source, format }, partial, options);
    if (found === sha256) return partial;
    await partial.discard();
    const wrong = `${key} has the sha256 ${found}, but its record says ${sha256}`;
    // NOTE: the file of an earlier pull may have been damaged since (a power cut, another process),
    // while the image is intact: only a file that was fetched by one process proves damage.
    if (resumedBytes === 0) throw damaged(wrong);
    onNote?.(`${path} lacks what was fetched before; fetching all of it again`);
  }
}

/** Fetches the file and resolves to its sha256. If that is right, the file is inspected and on disk. */
async function fillOnce(
  store: ObjectStore,
  source: PullSource & { format: DiskFormat | undefined },
  partial: Partial,
  options: Options,
): Promise<string> {
  try {
    const found = await fetchRanges(store, source, partial, options);
    if (found === source.sha256) {
      await assertHandedOut(store, source, partial);
      await partial.sync();
    }
    return found;
  } catch (error) {
    await keepOrDiscard(partial, error, options);
    throw error;
  }
}

// NOTE: the digest proves that the data matches the record, not that it is harmless. A client that
// may write to the registry can forge both, and the next program that opens the file trusts it.
async function assertHandedOut(
  { url }: ObjectStore,
  { key, format }: PullSource & { format: DiskFormat | undefined },
  { file }: Partial,
): Promise<void> {
  try {
    await assertFlat(await bytesOfFile(file), format);
  } catch (error) {
    if (!(error instanceof PublishError && error.code === 'IMAGE_REFUSED')) throw error;
    const message = `${key} in ${url} is no image of one flat file, and no file was written: ${error.message}`;
    const { hint } = error;
    throw new PublishError('IMAGE_REFUSED', message, { step: 'pull', cause: error, hint });
  }
}

async function keepOrDiscard(partial: Partial, error: unknown, { onNote }: Options): Promise<void> {
  const code = error instanceof PublishError ? error.code : undefined;
  const isWrong = code === 'INTEGRITY' || code === 'IMAGE_REFUSED';
  const full = code === 'NO_SPACE' || hasCode(error, 'ENOSPC', 'EDQUOT');
  if (isWrong || full || partial.whole.size === 0) return partial.discard();
  await partial.close();
  onNote?.(`${partial.path} is kept; the same pull, run again, resumes it`);
}

const MIB = 1024 * 1024;
const MOST_RANGE_MIB = 64;

/**
 * NOTE: a request costs server and client alike, so ranges are larger than the parts of an upload
 * if the object is large. Still every lane has many ranges: an interrupted pull loses little, and the
 * digest has little left to read when the last ranges arrive.
 */
function rangeBytes(size: number, { partSizeMib, concurrency }: PullPolicy): number {
  const share = Math.ceil(size / MIB / (concurrency * 32));
  return Math.max(partSizeMib, Math.min(share, MOST_RANGE_MIB)) * MIB;
}

function damaged(what: string): PublishError {
  const message = `${what}; no file was written`;
  const hint = 'check the image: virt-publish verify IMAGE';
  return new PublishError('INTEGRITY', message, { step: 'pull', hint });
}
