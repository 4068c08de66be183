// The acts on a domain that must be taken back: journaled before they are done, undone whatever fails.
import { setTimeout as sleep } from 'node:timers/promises';
import { messageOf } from '../core/errors.ts';
import { UndoError, UndoFailure } from './acts/undo-failure.ts';
import type { Journal, PendingAct } from './journal/journal.ts';

export { NotYet, UndoError, UndoFailure } from './acts/undo-failure.ts';

/** An act on the domain: its name in the journal, and how it is taken back. */
export interface GuestAct<Data, Context> {
  name: string;
  /**
   * What of the data the journal gets; all of it if left out. The rest is a secret, or too large for
   * a journal: it stays in the memory of the run and of its guard, and `undo` must do without it.
   */
  toJournal?(data: Data): unknown;
  /**
   * Takes the act back. Idempotent, deaf to cancellation, and right also where the act was
   * announced but not begun. Resolves to a remark for the user where there is one.
   */
  undo(context: Context, data: Data): Promise<string | undefined>;
  /**
   * Makes sure that the files that `recoveryCommand` names are there, and returns the data with their paths. It
   * is called when the undo has failed for good.
   */
  keepFiles?(data: Data): Promise<Data>;
  /** The shell command that does the same by hand. */
  recoveryCommand(context: Context, data: Data): string;
}

/** All acts by name, their data as it comes out of a journal. */
export type GuestActs<Context> = Readonly<Record<string, GuestAct<unknown, Context>>>;

const UNDO_TRIES = 3;
const UNDO_PAUSE_MS = 250;

export interface GuestScopeOptions<Context> {
  journal: Pick<Journal, 'write'>;
  acts: GuestActs<Context>;
  context: Context;
  onNote: (note: string) => void;
  /** False if the undo will be tried again; true if left out. */
  keepsFiles?: boolean;
}

/** What has been done to one domain and not been taken back yet. */
export class GuestScope<Context> {
  readonly #options: GuestScopeOptions<Context>;
  #pending: PendingAct[];
  #undoneAt: number | undefined;

  /** `pending`: what the journal of a dead run says was not taken back. */
  constructor(options: GuestScopeOptions<Context>, pending: readonly PendingAct[] = []) {
    this.#options = options;
    this.#pending = [...pending];
  }

  /** Announces the act, does it, and marks it done. From the announcement on it will be undone. */
  async perform<Data, Result>(
    act: GuestAct<Data, Context>,
    data: Data,
    work: () => Promise<Result>,
  ): Promise<Result> {
    await this.#announce(act, data);
    const result = await work();
    // NOTE: not waited for on the disk: what was announced is undone, done or not, and a guest that
    // was frozen just now would wait as well.
    await this.#options.journal.write({ type: 'done', act: act.name }, { sync: false });
    return result;
  }

  /** Within the work of an act: announces it once more, with newer data to take it back with. */
  async renew<Data>(act: GuestAct<Data, Context>, data: Data): Promise<void> {
    const older = this.#pending.filter((pending) => pending.act === act.name);
    await this.#announce(act, data);
    this.#pending = this.#pending.filter((pending) => !older.includes(pending));
    for (const pending of older) await this.#writeUndone(pending);
  }

  /** Marks all acts of this name as taken back by what was just done, so that no undo runs for them. */
  async markUndone(act: { name: string }): Promise<void> {
    const settled = this.#pending.filter((pending) => pending.act === act.name);
    this.#pending = this.#pending.filter((pending) => pending.act !== act.name);
    for (const pending of settled) await this.#writeUndone(pending);
  }

  /**
   * Takes one act back now, as part of the normal way. What fails stays pending for `restore`.
   * Resolves to the moment when that was done (`performance.now()`), before the journal knew; to
   * now where nothing was.
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
   * Takes back everything that is pending, newest first, whatever fails. Goes on for `waitMs` as long
   * as an undo throws `NotYet` and its guest is not parked.
   * Resolves to what could not be taken back; empty when the guest is whole.
   */
  async restore({ waitMs = 0 }: { waitMs?: number } = {}): Promise<UndoFailure[]> {
    const waitUntil = performance.now() + waitMs;
    for (let attempt = 1; ; attempt += 1) {
      // All are tried before any is tried again: one that hangs must not hold the others up.
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

  /** What is pending, for a journal that is written anew. */
  get pending(): PendingAct[] {
    return this.#pending.map(({ act, data }) => {
      return { act, data: journaled(this.#options.acts[act], data) };
    });
  }

  /** A file system that is full or read-only must not hide which command helps. */
  async #withFiles(failures: readonly UndoFailure[]): Promise<UndoFailure[]> {
    const { acts, context, keepsFiles = true, onNote } = this.#options;
    if (!keepsFiles) return [...failures];
    const told: UndoFailure[] = [];
    for (const failure of failures) {
      const { act: name, data } = failure.pending;
      const act = acts[name];
      try {
        // An undo may have named a command of its own.
        const isUsual = act && act.recoveryCommand(context, data) === failure.recoveryCommand;
        const kept = isUsual && (await act.keepFiles?.(data));
        const recoveryCommand = kept ? act.recoveryCommand(context, kept) : failure.recoveryCommand;
        told.push(new UndoFailure(failure.pending, recoveryCommand, failure.cause));
      } catch (error) {
        onNote(`the files of a command that puts the guest back are missing: ${messageOf(error)}`);
        told.push(failure);
      }
    }
    return told;
  }

  async #announce<Data>(act: GuestAct<Data, Context>, data: Data): Promise<void> {
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
    if (!act) return new UndoFailure(pending, '', new Error('no such act is known'));
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
    // NOTE: a journal that cannot be written any more (a full disk) must not keep the next act
    // from being undone; restoring twice is harmless, since every undo is idempotent.
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
