// The journal of a run: every intent is on disk before its act begins.
import { type FileHandle, open, readFile, stat } from 'node:fs/promises';
import { dirname } from 'node:path';
import { hasCode, messageOf, PublishError } from '../../core/errors.ts';
import { syncDirectory } from '../../host/files/own-folders.ts';
import type { JournalEntry, NewEntry, PendingAct, RunFacts } from './journal-types.ts';

export type { JournalEntry, NewEntry, PendingAct, RunFacts, S3Facts } from './journal-types.ts';

export const JOURNAL_FILE = 'journal.ndjson';

/** Point: the guard keeps the pending acts until the guest runs again. */
export const PARKED_POINT = 'parked';

/** `inMemory` is the entry with secrets that no file may contain: see {@link WriteOptions.secretData}. */
type Listener = (entry: JournalEntry, inMemory: JournalEntry) => void;

export interface WriteOptions {
  /** False if a power cut may lose the entry; the death of this process never loses it. */
  sync?: boolean;
  /** The entry's `data` for the listeners of this journal, with secrets that no file may contain. */
  secretData?: unknown;
}

/** Hint of an error about the state directory. */
export const STATE_DIR_HINT =
  'check the state directory (VIRT_PUBLISH_STATE_DIR), then run it again';

/** Appends to one run's journal; an entry is on disk when its promise resolves, unless `sync` is false. */
export class Journal {
  readonly #path: string;
  readonly #file: FileHandle;
  readonly #listeners: Listener[] = [];
  /** The last write failed, and may have left an incomplete line. */
  #isTorn = false;
  #facts: RunFacts | undefined;

  private constructor(path: string, file: FileHandle) {
    this.#path = path;
    this.#file = file;
  }

  /** @throws the file system's error if the file exists or cannot be created. */
  static async create(path: string): Promise<Journal> {
    const journal = new Journal(path, await open(path, 'ax', 0o600));
    await syncDirectory(dirname(path));
    return journal;
  }

  /** Opens the journal of a dead run to append to it. The next entry ends an incomplete last line. */
  static async reopen(path: string): Promise<Journal> {
    const text = await readFile(path, 'utf8');
    const journal = new Journal(path, await open(path, 'a', 0o600));
    journal.#isTorn = text !== '' && !text.endsWith('\n');
    return journal;
  }

  /** The facts of the first entry, once this process has written it. */
  get facts(): RunFacts | undefined {
    return this.#facts;
  }

  /** Calls `listener` for each entry once it is written. */
  onWritten(listener: Listener): void {
    this.#listeners.push(listener);
  }

  /**
   * Appends the entry, then calls the listeners.
   * @throws PublishError NO_SPACE, WORK_DIR: the act of an intent must not be done then.
   */
  async write(newEntry: NewEntry, { sync = true, secretData }: WriteOptions = {}): Promise<void> {
    const entry: JournalEntry = { time: new Date().toISOString(), ...newEntry };
    const entryText = JSON.stringify(entry);
    // NOTE: on a full disk an incomplete line may have been written; an entry appended to it is lost.
    const line = this.#isTorn ? `\n${entryText}\n` : `${entryText}\n`;
    try {
      if (entry.type === 'intent') await this.#assertInPlace();
      this.#isTorn = true;
      await this.#file.appendFile(line);
      if (sync) await this.#file.datasync();
    } catch (error) {
      throw notWritten(error);
    }
    this.#isTorn = false;
    if (entry.type === 'run') this.#facts = entry.facts;
    const inMemory = secretData === undefined ? entry : { ...entry, data: secretData };
    for (const listener of this.#listeners) listener(entry, inMemory);
  }

  /** Writes a point that the run has reached; recover continues from it. */
  async checkpoint(name: string, data?: unknown): Promise<void> {
    await this.write({ type: 'point', name, ...(data === undefined ? {} : { data }) });
  }

  async close(): Promise<void> {
    await this.#file.close();
  }

  /** NOTE: writes succeed also on a file that was removed, or whose file system was unmounted. */
  async #assertInPlace(): Promise<void> {
    const [named, written] = await Promise.all([stat(this.#path), this.#file.stat()]);
    if (named.ino === written.ino && named.dev === written.dev) return;
    throw new Error(`another file has replaced ${this.#path}`);
  }
}

/**
 * Returns all complete entries of a journal, oldest first. An incomplete line of a process that died
 * is no entry: its act was not started.
 */
export async function readJournal(path: string): Promise<JournalEntry[]> {
  return parseJournal(await readFile(path, 'utf8'));
}

/** `readJournal` for the text of a journal. */
export function parseJournal(text: string): JournalEntry[] {
  return text.split('\n').flatMap(parseEntry);
}

/** Returns the facts of the first entry; undefined if there is none. */
export function runFacts(entries: readonly JournalEntry[]): RunFacts | undefined {
  const first = entries[0];
  return first?.type === 'run' ? first.facts : undefined;
}

/** Returns the acts of a journal that are not undone, oldest first. */
export function pendingActs(entries: readonly JournalEntry[]): PendingAct[] {
  const pending: PendingAct[] = [];
  for (const entry of entries) {
    if (entry.type === 'intent') pending.push({ act: entry.act, data: entry.data });
    if (entry.type !== 'undone') continue;
    const data = JSON.stringify(entry.data);
    const index = pending.findLastIndex(
      (each) => each.act === entry.act && (!data || JSON.stringify(each.data) === data),
    );
    if (index !== -1) pending.splice(index, 1);
  }
  return pending;
}

/**
 * Returns the pending act that is not marked as done, if any. Libvirt may receive its call after the
 * process of the run has died.
 */
export function unsureActs(entries: readonly JournalEntry[]): PendingAct[] {
  const last = entries.findLast(({ type }) => type === 'intent' || type === 'done');
  if (last?.type !== 'intent') return [];
  return pendingActs(entries)
    .filter(({ act }) => act === last.act)
    .slice(-1);
}

/** Returns the data of the newest point of this name; undefined if it was not reached. */
export function reached(entries: readonly JournalEntry[], name: string): unknown {
  return allReached(entries, name).at(-1);
}

/** Returns the data of every point of this name, oldest first. */
export function allReached(entries: readonly JournalEntry[], name: string): unknown[] {
  return entries.flatMap((entry) =>
    entry.type === 'point' && entry.name === name ? [entry.data ?? null] : [],
  );
}

function notWritten(cause: unknown): PublishError {
  const isFull = hasCode(cause, 'ENOSPC', 'EDQUOT');
  const hint = isFull
    ? 'free some space in the state directory, then run it again'
    : STATE_DIR_HINT;
  const message = `cannot write the run's journal: ${messageOf(cause)}`;
  return new PublishError(isFull ? 'NO_SPACE' : 'WORK_DIR', message, {
    step: 'space',
    cause,
    hint,
  });
}

function parseEntry(line: string): JournalEntry[] {
  try {
    return [JSON.parse(line) as JournalEntry];
  } catch (error) {
    if (error instanceof SyntaxError) return [];
    throw error;
  }
}
