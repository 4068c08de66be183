// Ctrl-Z and background jobs: the process is not stopped while it holds a guest.
import { constants } from 'node:os';
import { isatty } from 'node:tty';
import { continuePrograms } from '../core/running-programs.ts';
import { isGuestChanged, whenNoGuestIsChanged } from '../run/lock/changed-guests.ts';

/** Signals that stop a process and can be handled. SIGSTOP cannot; the guard acts on that. */
const STOP_SIGNALS = ['SIGTSTP', 'SIGTTIN'] as const;

const LATER = 'stopping when the guest is as it was';

/**
 * Runs `work`; a Ctrl-Z in it stops the process as soon as no guest is held. Output of a background
 * job never stops it.
 *
 * NOTE: with `stty tostop` the kernel sends SIGTTOU to a background job that writes to its terminal.
 * A handler does not help: the write fails, is restarted, and sends the signal again, without end.
 */
export async function withJobControl<T>(
  say: (text: string) => void,
  work: () => Promise<T>,
): Promise<T> {
  if (isatty(1) || isatty(2)) {
    (await import('../host/native/ignore-signal.ts')).ignoreSignal(constants.signals.SIGTTOU);
  }
  let isStopping = false;
  const onStop = () => {
    // The kernel has stopped the programs of this process group as well: a guest waits for them.
    if (isGuestChanged()) continuePrograms();
    if (isStopping) return;
    isStopping = true;
    if (isGuestChanged()) say(LATER);
    void whenNoGuestIsChanged().then(() => {
      if (isStopping) process.kill(process.pid, 'SIGSTOP');
      isStopping = false;
    });
  };
  const onContinue = () => {
    isStopping = false;
  };
  for (const name of STOP_SIGNALS) process.on(name, onStop);
  process.on('SIGCONT', onContinue);
  try {
    return await work();
  } finally {
    for (const name of STOP_SIGNALS) process.off(name, onStop);
    process.off('SIGCONT', onContinue);
  }
}
