// Turns a failed qemu-img into the error that says what failed, on what, and what to do. Pure.
import { PublishError, type Step, saysNoSpace } from '../core/errors.ts';
import type { Outcome } from './run-program.ts';

export interface Subject {
  /** `convert`, `info`... */
  command: string;
  /** What it worked on, for the message. */
  path: string;
  step: Step;
  timeoutMs: number;
}

/** @returns a PublishError NO_SPACE where the file system was full, QEMU_IMG otherwise. */
export function qemuImgFailure(subject: Subject, outcome: Outcome): PublishError {
  const { command, path, step } = subject;
  const said = lastWords(outcome.stderr);
  const at = `qemu-img ${command} on ${path}`;
  if (saysNoSpace(outcome.stderr)) {
    const cure = 'free some space there, or use --work-dir on a larger file system';
    return new PublishError('NO_SPACE', `${at}: no space left on the file system; ${cure}`, {
      step,
    });
  }
  return new PublishError('QEMU_IMG', `${at} ${ending(subject, outcome, said)}`, { step });
}

/** The key of the configuration with its deadline; all but these two are requests. */
const DEADLINES: Readonly<Record<string, string>> = {
  convert: 'timeouts.convertMs',
  check: 'timeouts.checkMs',
};

function ending({ command, timeoutMs }: Subject, outcome: Outcome, said: string): string {
  if (outcome.spawnCode === 'ENOENT')
    return 'could not start: qemu-img is not in PATH; install the package qemu-utils (qemu-img on Fedora)';
  if (outcome.spawnCode === 'EACCES')
    return 'could not start: qemu-img in PATH is not executable for this user';
  if (outcome.timedOut)
    return `was stopped after ${Math.round(timeoutMs / 1000)} s, its deadline: see whether the storage hangs, or raise ${DEADLINES[command] ?? 'timeouts.requestMs'}`;
  if (outcome.killedBy !== undefined)
    return `was killed by ${outcome.killedBy}: see the kernel log for the out-of-memory killer, then run it again`;
  return `failed: ${said}${cureOf(said)}`;
}

function cureOf(said: string): string {
  if (/Failed to get .* lock/.test(said))
    return '; another process has the file open for writing: wait for it, or stop it';
  if (/Permission denied/.test(said)) return '; run as a user who may read and write it';
  return '';
}

// NOTE: one failure of a parallel convert prints a line for each coroutine; the last one is enough.
// The question `Is another process using the image?` follows the line that matters.
function lastWords(stderr: string): string {
  const lines = stderr
    .split(/[\r\n]+/)
    .map((line) => line.trim().replace(/^qemu-img: /, ''))
    .filter((line) => line !== '' && !line.startsWith('Is another process using'));
  return (lines.at(-1) ?? 'it said nothing').slice(0, 500);
}
