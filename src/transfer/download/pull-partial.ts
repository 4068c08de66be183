// An incomplete file, and the file beside it that lists its complete ranges for the next process.
import { type FileHandle, unlink } from 'node:fs/promises';
import { parseJson } from '../../host/files/file-errors.ts';
import { isNamed, openOwn, readAtMost } from '../../host/files/own-file.ts';
import { OWNERS_ONLY } from '../../host/files/private-file.ts';
import { notOwn } from './pull-lock.ts';

/** The object that is pulled. `etag` is the store's own; null if it has none. */
export interface PullSource {
  key: string;
  size: number;
  sha256: string;
  etag: string | null;
}

/** Range `n` is bytes `n * rangeBytes` to `(n + 1) * rangeBytes`, the last one shorter. */
export interface Partial {
  readonly path: string;
  readonly file: FileHandle;
  readonly rangeBytes: number;
  /** Numbers of the ranges that are in the file. */
  readonly whole: Set<number>;
  /** Bytes an earlier process had fetched. */
  readonly resumedBytes: number;
  /** Notes that a range is in the file; a crash after this costs nothing. */
  markWhole(range: number): Promise<void>;
  sync(): Promise<void>;
  close(): Promise<void>;
  /** Closes and removes the file, and empties the note. */
  discard(): Promise<void>;
}

/** Some ten bytes for each range of 5 MiB: enough for any object that S3 can have. */
const MAX_NOTE_BYTES = 64 * 1024 * 1024;

/**
 * Opens FILE.partial of the source's size, all zeros if nothing was fetched yet. An existing
 * file is resumed if `note` names the same object.
 *
 * NOTE: neither note nor data is synced, for a killed process loses neither; the digest of the whole
 * file detects what a power cut lost.
 * @throws USAGE if the file is not this user's own.
 */
export async function openPartial(
  path: string,
  note: FileHandle,
  source: PullSource,
  wantedRangeBytes: number,
): Promise<Partial> {
  const refuse = (reason: string) => notOwn(path, reason);
  const { file, isNew } = await openOwn(path, { mode: OWNERS_ONLY }, refuse);
  try {
    const noted = isNew ? undefined : await readNote(note, source);
    const resumes = noted !== undefined && (await file.stat()).size === source.size;
    const rangeBytes = resumes ? noted.rangeBytes : wantedRangeBytes;
    if (!resumes) {
      await file.truncate(0);
      await file.truncate(source.size);
      await note.truncate(0);
      await note.write(`${JSON.stringify({ ...source, rangeBytes })}\n`);
    }
    const whole = resumes ? noted.whole : new Set<number>();
    return partialOf({ path, file, note, source, rangeBytes, whole });
  } catch (error) {
    await file.close();
    throw error;
  }
}

export function rangeAt(
  { size }: Pick<PullSource, 'size'>,
  rangeBytes: number,
  range: number,
): { start: number; end: number } {
  const start = range * rangeBytes;
  return { start, end: Math.min(start + rangeBytes, size) };
}

function partialOf(parts: {
  path: string;
  file: FileHandle;
  note: FileHandle;
  source: PullSource;
  rangeBytes: number;
  whole: Set<number>;
}): Partial {
  const { path, file, note, source, rangeBytes, whole } = parts;
  const resumedBytes = [...whole].reduce((sum, range) => {
    const { start, end } = rangeAt(source, rangeBytes, range);
    return sum + end - start;
  }, 0);
  return {
    ...{ path, file, rangeBytes, whole, resumedBytes },
    markWhole: async (range) => {
      whole.add(range);
      await note.write(`${range}\n`);
    },
    sync: () => file.datasync(),
    close: () => file.close(),
    discard: async () => {
      if (await isNamed(file, path)) await unlink(path);
      await file.close();
      await note.truncate(0);
    },
  };
}

/** Reads the note; `undefined` if it is empty, or about another object. */
async function readNote(
  note: FileHandle,
  source: PullSource,
): Promise<{ rangeBytes: number; whole: Set<number> } | undefined> {
  const text = (await readAtMost(note, MAX_NOTE_BYTES))?.toString('utf8') ?? '';
  // The last line is whole only if a line end follows it.
  const [first, ...lines] = text.split('\n').slice(0, -1);
  const head = parseJson(first ?? '') as Record<string, unknown> | null | undefined;
  const rangeBytes = head?.rangeBytes;
  if (!(Number.isSafeInteger(rangeBytes) && (rangeBytes as number) > 0)) return undefined;
  const same = Object.entries(source).every(([name, value]) => head?.[name] === value);
  if (!same) return undefined;
  const count = Math.ceil(source.size / (rangeBytes as number));
  const ranges = lines.filter((line) => /^\d+$/.test(line)).map(Number);
  return {
    rangeBytes: rangeBytes as number,
    whole: new Set(ranges.filter((range) => range < count)),
  };
}
