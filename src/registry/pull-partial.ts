// A file on its way in, and beside it the note of which ranges of it are whole, for the next process.
import { constants, type FileHandle, open, readFile, unlink } from 'node:fs/promises';
import { orMissing, parseJson } from './file-errors.ts';

/** What is pulled. `etag` is the store's own; null where it has none. */
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
}

const FILE_MODE = 0o640;

/**
 * Opens FILE.partial of the source's size, all zeros where nothing was fetched yet. What is there
 * is gone on with if its note says that it is of the very same object.
 *
 * NOTE: neither note nor data is synced, for a killed process loses neither; what a power cut loses
 * is found by the digest of the whole.
 */
export async function openPartial(
  path: string,
  source: PullSource,
  wantedRangeBytes: number,
): Promise<Partial> {
  const { O_CREAT, O_RDWR, O_NOFOLLOW, O_APPEND, O_WRONLY, O_TRUNC } = constants;
  const file = await open(path, O_CREAT | O_RDWR | O_NOFOLLOW, FILE_MODE);
  try {
    const note = await readNote(notePath(path), source);
    const resumes = note !== undefined && (await file.stat()).size === source.size;
    if (!resumes) {
      await file.truncate(0);
      await file.truncate(source.size);
    }
    const flags = O_CREAT | O_WRONLY | O_APPEND | O_NOFOLLOW | (resumes ? 0 : O_TRUNC);
    const log = await open(notePath(path), flags, FILE_MODE);
    const rangeBytes = resumes ? note.rangeBytes : wantedRangeBytes;
    if (!resumes) await log.write(`${JSON.stringify({ ...source, rangeBytes })}\n`);
    const whole = resumes ? note.whole : new Set<number>();
    return partialOf({ path, file, log, source, rangeBytes, whole });
  } catch (error) {
    await file.close();
    throw error;
  }
}

/** Both files of a pull, where they are there. */
export async function removePartial(path: string): Promise<void> {
  await orMissing(unlink(path));
  await orMissing(unlink(notePath(path)));
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
  log: FileHandle;
  source: PullSource;
  rangeBytes: number;
  whole: Set<number>;
}): Partial {
  const { path, file, log, source, rangeBytes, whole } = parts;
  const resumedBytes = [...whole].reduce((sum, range) => {
    const { start, end } = rangeAt(source, rangeBytes, range);
    return sum + end - start;
  }, 0);
  return {
    ...{ path, file, rangeBytes, whole, resumedBytes },
    markWhole: async (range) => {
      whole.add(range);
      await log.write(`${range}\n`);
    },
    sync: () => file.datasync(),
    close: async () => {
      await Promise.all([file.close(), log.close()]);
    },
  };
}

/** What the note says; `undefined` where there is none, or it is about another object. */
async function readNote(
  path: string,
  source: PullSource,
): Promise<{ rangeBytes: number; whole: Set<number> } | undefined> {
  const text = await orMissing(readFile(path, 'utf8'));
  // The last line is whole only if a line end follows it.
  const [first, ...lines] = (text ?? '').split('\n').slice(0, -1);
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

function notePath(path: string): string {
  return `${path}.ranges`;
}
