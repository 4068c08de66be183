// The errors of an undo: it failed, or it is not possible yet.
import { messageOf } from '../../core/errors.ts';
import type { PendingAct } from '../journal/journal-types.ts';

/**
 * Thrown by an undo that is not possible yet: libvirt works, but the guest boots, is paused, or is in
 * a managed save.
 */
export class NotYet extends Error {
  override readonly name = 'NotYet';
  /** Another client paused or saved the guest: the undo is needed only when the guest runs again. */
  readonly isParked: boolean;

  constructor(message: string, { isParked, cause }: { isParked: boolean; cause?: unknown }) {
    super(message, { cause });
    this.isParked = isParked;
  }
}

/** An undo that failed, with the shell command that does the same by hand. */
export class UndoFailure extends Error {
  override readonly name = 'UndoFailure';
  readonly act: string;
  readonly recoveryCommand: string;
  /** Private, so that a log of this error does not contain the act's secrets. */
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

  /** True if a later attempt may succeed. */
  get mayPass(): boolean {
    return this.cause instanceof NotYet && !this.cause.isParked;
  }

  get isParked(): boolean {
    return this.cause instanceof NotYet && this.cause.isParked;
  }
}

/** Thrown by an undo whose recovery needs another command than the act's own. */
export class UndoError extends Error {
  readonly recoveryCommand: string;

  constructor(message: string, recoveryCommand: string) {
    super(message);
    this.recoveryCommand = recoveryCommand;
  }
}
