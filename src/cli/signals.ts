// Ctrl-C and other signals: the first one aborts the work, later ones only print that it is ending.
import { setMaxListeners } from 'node:events';
import { messageOf, PublishError } from '../core/errors.ts';

const SIGNALS = ['SIGINT', 'SIGTERM', 'SIGHUP'] as const;

/** What is printed when a signal arrives. */
export interface SignalWords {
  first: string;
  again: string;
}

/** The words of commands that change a guest for the time of a snapshot. */
export const RESTORING: SignalWords = {
  first: 'stopping: restoring the guest first…',
  again: 'restoring the guest, please wait',
};

/**
 * Runs `work` with an AbortSignal that the first SIGINT, SIGTERM or SIGHUP aborts, with a
 * PublishError INTERRUPTED as its reason. The process is not ended: the undo must run.
 */
export async function withSignals<T>(
  words: SignalWords,
  say: (text: string) => void,
  work: (signal: AbortSignal) => Promise<T>,
): Promise<T> {
  const controller = new AbortController();
  // Many requests at once listen to it, and Node takes more than ten for a leak.
  setMaxListeners(0, controller.signal);
  const onSignal = (name: NodeJS.Signals) => {
    if (controller.signal.aborted) return say(words.again);
    say(words.first);
    controller.abort(new PublishError('INTERRUPTED', `interrupted by ${name}`));
  };
  for (const name of SIGNALS) process.on(name, onSignal);
  try {
    return await work(controller.signal);
  } catch (error) {
    throw controller.signal.aborted ? asInterrupted(error, controller.signal) : error;
  } finally {
    for (const name of SIGNALS) process.off(name, onSignal);
  }
}

// NOTE: adapters wrap an abort in errors of their own (a failed part, a failed call). What has the
// abort at its root is an interruption, unless it says that the guest was not restored.
function asInterrupted(error: unknown, signal: AbortSignal): unknown {
  if (!isAbort(error, signal.reason)) return error;
  const known = error instanceof PublishError ? error : undefined;
  if (known?.code === 'GUEST_NOT_RESTORED' || known?.code === 'INTERRUPTED') return error;
  const step = known?.step === undefined ? {} : { step: known.step };
  const recoveryCommand =
    known?.recoveryCommand === undefined ? {} : { recoveryCommand: known.recoveryCommand };
  const details = {
    ...step,
    ...recoveryCommand,
    undoFailures: known?.undoFailures ?? [],
    cause: error,
  };
  return new PublishError('INTERRUPTED', messageOf(signal.reason), details);
}

function isAbort(error: unknown, reason: unknown): boolean {
  if (error === reason) return true;
  if (!(error instanceof Error)) return false;
  if (error.name === 'AbortError') return true;
  if (error instanceof PublishError && error.code === 'INTERRUPTED') return true;
  return isAbort(error.cause, reason);
}
