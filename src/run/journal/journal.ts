// The journal of a run: every intent on disk before the act it announces.
import { type FileHandle, open, readFile, stat } from 'node:fs/promises';
import { dirname } from 'node:path';
import { hasCode, messageOf, PublishError } from '../../core/errors.ts';
import { syncDirectory } from '../../host/files/own-folders.ts';
import type { JournalEntry, NewEntry, PendingAct, RunFacts } from './journal-types.ts';

export type { JournalEntry, NewEntry, PendingAct, RunFacts, S3Facts } from './journal-types.ts';

export const JOURNAL_FILE = 'journal.ndjson';

/** Point: what is pending is left to the guard, until the guest runs again. */
export const PARKED_POINT = 'parked';

/** `inMemory` is the entry with what must not stand in a file: see {@link WriteOptions.secretData}. */
type Listener = (entry: JournalEntry, inMemory: JournalEntry) => void;

export interface WriteOptions {
  /** False if a power cut may take the entry; the death of this process never does. */
  sync?: boolean;
  /** The entry's `data` as listeners of this journal get it: with secrets that no file may hold. */
  secretData?: unknown;
}

/** Appends to one run's journal; each entry is on disk when its promise resolves, unless told otherwise. */
export class Journal {
  readonly #path: string;
  readonly #file: FileHandle;
  readonly #listeners: Listener[] = [];
  /** The last write failed, and may have left half a line. */
  #isTorn = false;
  #facts: RunFacts | undefined;

  private constructor(path: string, file: FileHandle) {
    this.#path = path;
    this.#file = file;
  }

  /** @throws the file system's error where the file exists already or cannot be made. */
  static async create(path: string): Promise<Journal> {
    const journal = new Journal(path, await open(path, 'ax', 0o600));
    await syncDirectory(dirname(path));
    return journal;
  }

  /** Goes on with the journal of a run that is dead. A torn last line is closed by the next entry. */
  static async reopen(path: string): Promise<Journal> {
    const text = await readFile(path, 'utf8');
    const journal = new Journal(path, await open(path, 'a', 0o600));
    journal.#isTorn = text !== '' && !text.endsWith('\n');
    return journal;
  }

  /** What the first entry says of the run, once this process has written it. */
  get facts(): RunFacts | undefined {
    return this.#facts;
  }

  /** Calls `listener` for each entry once it is written. */
  onWritten(listener: Listener): void {
    this.#listeners.push(listener);
  }

  /**
   * Appends the entry, then calls the listeners.
   * @throws PublishError NO_SPACE, WORK_DIR: what the entry announces must not be done then.
   */
  async write(newEntry: NewEntry, { sync = true, secretData }: WriteOptions = {}): Promise<void> {
    const entry: JournalEntry = { time: new Date().toISOString(), ...newEntry };
    const entryText = JSON.stringify(entry);
    // NOTE: on a full disk half a line may have been written; what is glued to it is no entry either.
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

  /** Something that has been reached; recover goes on from it. */
  async checkpoint(name: string, data?: unknown): Promise<void> {
    await this.write({ type: 'point', name, ...(data === undefined ? {} : { data }) });
  }

  async close(): Promise<void> {
    await this.#file.close();
  }

  /** NOTE: a file that was removed, or whose file system was unmounted, takes writes all the same. */
  async #assertInPlace(): Promise<void> {
    const [named, written] = await Promise.all([stat(this.#path), this.#file.stat()]);
    if (named.ino === written.ino && named.dev === written.dev) return;
    throw new Error(`another file has replaced ${this.#path}`);
  }
}

/**
 * All whole entries of a journal, oldest first. A line that a dying process left half written is
 * not an entry: what it announced was not begun.
 */
export async function readJournal(path: string): Promise<JournalEntry[]> {
  return parseJournal(await readFile(path, 'utf8'));
}

/** As `readJournal`, of the text of a journal. */
export function parseJournal(text: string): JournalEntry[] {
  return text.split('\n').flatMap(parseEntry);
}

/** What the first entry says of the run; undefined where not even that was written. */
export function runFacts(entries: readonly JournalEntry[]): RunFacts | undefined {
  const first = entries[0];
  return first?.type === 'run' ? first.facts : undefined;
}

/** What of a journal was announced and not taken back, oldest first. */
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
 * Of what is pending, the acts that were not marked as done. The call behind such an act may still
 * be on its way to libvirt when its caller is dead already.
 */
export function unsureActs(entries: readonly JournalEntry[]): PendingAct[] {
  const last = entries.findLast(({ type }) => type === 'intent' || type === 'done');
  if (last?.type !== 'intent') return [];
  return pendingActs(entries)
    .filter(({ act }) => act === last.act)
    .slice(-1);
}

/** The data of the newest point of this name; undefined where it was not reached. */
export function reached(entries: readonly JournalEntry[], name: string): unknown {
  return allReached(entries, name).at(-1);
}

/** The data of every point of this name, oldest first. */
export function allReached(entries: readonly JournalEntry[], name: string): unknown[] {
  return entries.flatMap((entry) =>
    entry.type === 'point' && entry.name === name ? [entry.data ?? null] : [],
  );
}

function notWritten(cause: unknown): PublishError {
  const isFull = hasCode(cause, 'ENOSPC', 'EDQUOT');
  const cure = isFull ? 'free some space in the state directory' : 'see to the state directory';
  return new PublishError(
    isFull ? 'NO_SPACE' : 'WORK_DIR',
    `the run's journal cannot be written: ${messageOf(cause)}; ${cure}`,
    { step: 'space', cause },
  );
}

function parseEntry(line: string): JournalEntry[] {
  try {
    return [JSON.parse(line) as JournalEntry];
  } catch (error) {
    if (error instanceof SyntaxError) return [];
    throw error;
  }
}
