// Why an undo did not work: for good, or not yet.
import { messageOf } from '../../core/errors.ts';
import type { PendingAct } from '../journal/journal-types.ts';

/**
 * Thrown by an undo that cannot be done now, and may be possible soon: nothing is wrong with libvirt,
 * and the guest is about to come back, or stands still.
 */
export class NotYet extends Error {
  override readonly name = 'NotYet';
  /** The guest stands still, by somebody else's will: the undo matters only when it runs again. */
  readonly isParked: boolean;

  constructor(message: string, { isParked, cause }: { isParked: boolean; cause?: unknown }) {
    super(message, { cause });
    this.isParked = isParked;
  }
}

/** An undo that failed, with the command that mends what it left. */
export class UndoFailure extends Error {
  override readonly name = 'UndoFailure';
  readonly act: string;
  readonly recoveryCommand: string;
  /** Private, so that no log of this error shows what the act keeps out of the journal. */
  readonly #pending: PendingAct;

  constructor(pending: PendingAct, recoveryCommand: string, cause: unknown) {
    super(`could not undo "${pending.act}": ${messageOf(cause)}`, { cause });
    this.act = pending.act;
    this.recoveryCommand = recoveryCommand;
    this.#pending = pending;
  }

  get pending(): PendingAct {
    return this.#pending;
  }

  /** It may go through if it is tried again for a while. */
  get mayPass(): boolean {
    return this.cause instanceof NotYet && !this.cause.isParked;
  }

  get isParked(): boolean {
    return this.cause instanceof NotYet && this.cause.isParked;
  }
}

/** Thrown by an undo whose failure another command puts right than its act's own. */
export class UndoError extends Error {
  readonly recoveryCommand: string;

  constructor(message: string, recoveryCommand: string) {
    super(message);
    this.recoveryCommand = recoveryCommand;
  }
}
