// Turns the outcome of a failed qemu-img into a PublishError with a hint. Pure.
import { PublishError, type Step, saysNoSpace } from '../core/errors.ts';
import type { Outcome } from './run-program.ts';

export interface Subject {
  /** `convert`, `info`... */
  command: string;
  /** The file that it worked on, for the message. */
  path: string;
  step: Step;
  timeoutMs: number;
}

/** Returns a PublishError: NO_SPACE if the file system was full, QEMU_IMG otherwise. */
export function qemuImgFailure(subject: Subject, outcome: Outcome): PublishError {
  const { command, path, step } = subject;
  const at = `qemu-img ${command} on ${path}`;
  if (saysNoSpace(outcome.stderr)) {
    const hint = 'free some space there, or use --work-dir on a larger file system';
    return new PublishError('NO_SPACE', `${at} failed: no space left on the file system`, {
      ...{ step, hint },
    });
  }
  const { how, hint } = describeEnd(subject, outcome);
  return new PublishError('QEMU_IMG', `${at} ${how}`, { step, ...(hint ? { hint } : {}) });
}

/** The configuration key of a command's deadline; `timeouts.requestMs` for the others. */
const DEADLINES: Readonly<Record<string, string>> = {
  convert: 'timeouts.convertMs',
  check: 'timeouts.checkMs',
};

interface ProgramEnd {
  /** The end of a sentence that begins with the program. */
  how: string;
  hint?: string;
}

function describeEnd({ command, timeoutMs }: Subject, outcome: Outcome): ProgramEnd {
  if (outcome.spawnCode === 'ENOENT')
    return {
      how: 'could not start: qemu-img is not in PATH',
      hint: 'install the package qemu-utils (qemu-img on Fedora)',
    };
  if (outcome.spawnCode === 'EACCES')
    return {
      how: 'could not start: this user may not execute it',
      hint: 'correct the permissions of the qemu-img that is first in PATH',
    };
  if (outcome.timedOut)
    return {
      how: `was stopped after ${Math.round(timeoutMs / 1000)} s, its deadline`,
      hint: `check whether the storage hangs, or raise ${DEADLINES[command] ?? 'timeouts.requestMs'}`,
    };
  if (outcome.killedBy !== undefined)
    return {
      how: `was killed by ${outcome.killedBy}`,
      hint: 'look for the out-of-memory killer in the kernel log, then run it again',
    };
  return describeFailure(lastLine(outcome.stderr));
}

function describeFailure(line: string): ProgramEnd {
  const how = `failed: ${line}`;
  if (/Failed to get .* lock/.test(line))
    return {
      how: `${how}; another process has the file open for writing`,
      hint: 'wait for that process, or stop it',
    };
  if (/Permission denied/.test(line))
    return { how, hint: 'run the command as a user who may read and write the file' };
  return { how };
}

// NOTE: a parallel convert that fails prints a line for each coroutine; the last one is enough. The
// question `Is another process using the image?` follows the line that matters.
function lastLine(stderr: string): string {
  const lines = stderr
    .split(/[\r\n]+/)
    .map((line) => line.trim().replace(/^qemu-img: /, ''))
    .filter((line) => line !== '' && !line.startsWith('Is another process using'));
  return (lines.at(-1) ?? 'it printed no message').slice(0, 500);
}
