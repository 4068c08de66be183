// The acts on a domain that have to be undone: each is journaled before it is done, and undone even if others fail.
import { setTimeout as sleep } from 'node:timers/promises';
import { messageOf } from '../core/errors.ts';
import { UndoError, UndoFailure } from './acts/undo-failure.ts';
import type { Journal, PendingAct } from './journal/journal.ts';

export { NotYet, UndoError, UndoFailure } from './acts/undo-failure.ts';

/** An act on the domain: its name in the journal, and its undo. */
export interface GuestAct<Data, Context> {
  name: string;
  /**
   * Returns the part of the data that is journaled; all of it if left out. The rest is secret or large;
   * it stays in the memory of run and guard, and `undo` must work without it.
   */
  toJournal?(data: Data): unknown;
  /**
   * Undoes the act. Idempotent, ignores cancellation, and correct also if the act was journaled but
   * not started. Resolves to a note for the user, or to undefined.
   */
  undo(context: Context, data: Data): Promise<string | undefined>;
  /**
   * Ensures that the files of `recoveryCommand` exist, and returns the data with their paths. Called
   * when the last attempt of the undo has failed.
   */
  keepFiles?(data: Data): Promise<Data>;
  /** Returns the shell command that does the same by hand. */
  recoveryCommand(context: Context, data: Data): string;
}

/** All acts by name, with their data of unknown type, as read from a journal. */
export type GuestActs<Context> = Readonly<Record<string, GuestAct<unknown, Context>>>;

const UNDO_TRIES = 3;
const UNDO_PAUSE_MS = 250;

export interface GuestScopeOptions<Context> {
  journal: Pick<Journal, 'write'>;
  acts: GuestActs<Context>;
  context: Context;
  onNote: (note: string) => void;
  /** False if the caller retries the undo, so that no files are kept yet; true if left out. */
  keepsFiles?: boolean;
}

/** The acts done to one domain that are not undone yet. */
export class GuestScope<Context> {
  readonly #options: GuestScopeOptions<Context>;
  #pending: PendingAct[];
  #undoneAt: number | undefined;

  /** `pending`: the acts that the journal of a dead run has as not undone. */
  constructor(options: GuestScopeOptions<Context>, pending: readonly PendingAct[] = []) {
    this.#options = options;
    this.#pending = [...pending];
  }

  /** Journals the intent, does the act, marks it done. From the intent on, `restore` undoes it. */
  async perform<Data, Result>(
    act: GuestAct<Data, Context>,
    data: Data,
    work: () => Promise<Result>,
  ): Promise<Result> {
    await this.#journalIntent(act, data);
    const result = await work();
    // NOTE: not synced: an intent is undone, done or not, and a frozen guest would wait for the disk.
    await this.#options.journal.write({ type: 'done', act: act.name }, { sync: false });
    return result;
  }

  /** Within the work of an act: journals its intent again, with newer data for its undo. */
  async renew<Data>(act: GuestAct<Data, Context>, data: Data): Promise<void> {
    const older = this.#pending.filter((pending) => pending.act === act.name);
    await this.#journalIntent(act, data);
    this.#pending = this.#pending.filter((pending) => !older.includes(pending));
    for (const pending of older) await this.#writeUndone(pending);
  }

  /** Marks all acts of this name as undone by other means, so that no undo runs for them. */
  async markUndone(act: { name: string }): Promise<void> {
    const settled = this.#pending.filter((pending) => pending.act === act.name);
    this.#pending = this.#pending.filter((pending) => pending.act !== act.name);
    for (const pending of settled) await this.#writeUndone(pending);
  }

  /**
   * Undoes all acts of this name now, as a regular step; one that fails stays pending for `restore`.
   * Resolves to the moment of the undo (`performance.now()`), to now if nothing was pending.
   */
  async undo(act: { name: string }): Promise<number> {
    this.#undoneAt = undefined;
    for (const pending of this.#newestFirst()) {
      if (pending.act === act.name) await this.#undo(pending);
    }
    return this.#undoneAt ?? performance.now();
  }

  get isPending(): boolean {
    return this.#pending.length > 0;
  }

  /**
   * Undoes all pending acts, newest first, even if some fail. Retries for `waitMs` while an undo throws
   * `NotYet` and its guest is not parked.
   * Resolves to the undos that failed; empty if the guest is restored.
   */
  async restore({ waitMs = 0 }: { waitMs?: number } = {}): Promise<UndoFailure[]> {
    const waitUntil = performance.now() + waitMs;
    for (let attempt = 1; ; attempt += 1) {
      // Every undo is attempted before any is retried: one that hangs must not delay the others.
      const failures: UndoFailure[] = [];
      for (const pending of this.#newestFirst()) {
        const failure = await this.#undo(pending);
        if (failure) failures.push(failure);
      }
      if (failures.length === 0) return failures;
      const waited = performance.now() < waitUntil && failures.find((each) => each.mayPass);
      if (attempt >= UNDO_TRIES && !waited) return this.#withFiles(failures);
      if (waited && attempt === UNDO_TRIES) {
        this.#options.onNote(`waiting for the guest to come back: ${waited.message}`);
      }
      await sleep(UNDO_PAUSE_MS);
    }
  }

  /** The pending acts, with the data that a new journal gets. */
  get pending(): PendingAct[] {
    return this.#pending.map(({ act, data }) => {
      return { act, data: journaled(this.#options.acts[act], data) };
    });
  }

  /** Keeps the files of the recovery commands; a full or read-only file system must not hide the command. */
  async #withFiles(failures: readonly UndoFailure[]): Promise<UndoFailure[]> {
    const { acts, context, keepsFiles = true, onNote } = this.#options;
    if (!keepsFiles) return [...failures];
    const kept: UndoFailure[] = [];
    for (const failure of failures) {
      const { act: name, data } = failure.pending;
      const act = acts[name];
      try {
        // An undo may have thrown a command of its own.
        const isUsual = act && act.recoveryCommand(context, data) === failure.recoveryCommand;
        const newer = isUsual && (await act.keepFiles?.(data));
        const recoveryCommand = newer
          ? act.recoveryCommand(context, newer)
          : failure.recoveryCommand;
        kept.push(new UndoFailure(failure.pending, recoveryCommand, failure.cause));
      } catch (error) {
        onNote(`cannot keep the files of the recovery command of "${name}": ${messageOf(error)}`);
        kept.push(failure);
      }
    }
    return kept;
  }

  async #journalIntent<Data>(act: GuestAct<Data, Context>, data: Data): Promise<void> {
    const intent = { type: 'intent', act: act.name, data: journaled(act, data) } as const;
    await this.#options.journal.write(intent, { secretData: data });
    this.#pending.push({ act: act.name, data });
  }

  #newestFirst(): PendingAct[] {
    return [...this.#pending].reverse();
  }

  async #undo(pending: PendingAct): Promise<UndoFailure | undefined> {
    const { acts, context, onNote } = this.#options;
    const act = acts[pending.act];
    if (!act) return new UndoFailure(pending, '', new Error('this version has no such act'));
    try {
      const note = await act.undo(context, pending.data);
      this.#undoneAt = performance.now();
      if (note !== undefined) onNote(note);
    } catch (error) {
      const recoveryCommand =
        error instanceof UndoError
          ? error.recoveryCommand
          : act.recoveryCommand(context, pending.data);
      return new UndoFailure(pending, recoveryCommand, error);
    }
    this.#pending = this.#pending.filter((other) => other !== pending);
    // NOTE: a journal that is no longer writable (a full disk) must not prevent the next undo.
    // Restoring twice is harmless, since every undo is idempotent.
    await this.#writeUndone(pending).catch((error: unknown) => {
      onNote(messageOf(error));
    });
    return undefined;
  }

  #writeUndone({ act, data }: PendingAct): Promise<void> {
    const { journal, acts } = this.#options;
    const undone = { type: 'undone', act, data: journaled(acts[act], data) } as const;
    return journal.write(undone, { secretData: data });
  }
}

function journaled<Data>(act: Pick<GuestAct<Data, never>, 'toJournal'> | undefined, data: Data) {
  return act?.toJournal ? act.toJournal(data) : data;
}
