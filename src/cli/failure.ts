// Prints an error: as text on standard error, or as one JSON object for programs.
import { ERROR_CATALOGUE } from '../core/error-catalogue.ts';
import { codeOf, messageOf, PublishError } from '../core/errors.ts';
import { exitCodeOf } from './exit-codes.ts';
import { printable } from './views/format.ts';
import type { Style } from './views/style.ts';

/** The error as the final object of `--json`. */
export function failureJson(error: unknown): Record<string, unknown> {
  const known = error instanceof PublishError ? error : undefined;
  return {
    type: 'error',
    code: codeOf(error),
    exitCode: exitCodeOf(error),
    step: known?.step ?? null,
    message: messageOf(error),
    hint: known?.hint ?? ERROR_CATALOGUE[codeOf(error)].hint,
    retryable: known?.retryable ?? false,
    causes: causesOf(error),
    undoFailures: (known?.undoFailures ?? []).map(messageOf),
    recoveryCommand: recoveryCommandsOf(error),
  };
}

/** The error for people; the recovery command, if there is one, is the last line. */
export function failureText(error: unknown, style: Style): string {
  const known = error instanceof PublishError ? error : undefined;
  const isInternal = known === undefined && codeOf(error) === 'INTERNAL';
  const message = known?.message ?? foreignMessage(error, isInternal);
  const lines = [
    `${style.red('virt-publish:')} ${shown(message)}`,
    ...causesOf(error).map((cause) => style.dim(`  because: ${shown(cause)}`)),
    ...(isInternal ? [style.dim(`  ${placeOf(error)}`)] : []),
    ...(known?.undoFailures ?? []).map((failure) => {
      return `  ${style.red('not restored:')} ${shown(messageOf(failure))}`;
    }),
  ];
  lines.push(`hint: ${shown(known?.hint ?? ERROR_CATALOGUE[codeOf(error)].hint)}`);
  const recoveryCommands = recoveryCommandsOf(error);
  if (recoveryCommands.length > 0)
    lines.push(style.bold('Run this to restore it:'), ...recoveryCommands);
  return `${lines.join('\n')}\n`;
}

/** The message of an error that is not a PublishError. */
function foreignMessage(error: unknown, isInternal: boolean): string {
  return isInternal ? `internal error: ${messageOf(error)}` : messageOf(error);
}

/** The messages of the causes, each once, without those that the message above contains. */
function causesOf(error: unknown): string[] {
  const causes: string[] = [];
  let above = messageOf(error);
  let cause = error instanceof Error ? error.cause : undefined;
  for (let depth = 0; cause !== undefined && cause !== null && depth < 5; depth++) {
    const message = messageOf(cause);
    if (message !== '' && !above.includes(message)) causes.push(message);
    above = message;
    cause = cause instanceof Error ? cause.cause : undefined;
  }
  return causes;
}

function recoveryCommandsOf(error: unknown): string[] {
  if (!(error instanceof PublishError)) return [];
  const below = error.undoFailures.flatMap(recoveryCommandsOf);
  return [
    ...new Set([...below, ...(error.recoveryCommand === undefined ? [] : [error.recoveryCommand])]),
  ];
}

function placeOf(error: unknown): string {
  const frame = error instanceof Error ? error.stack?.split('\n').find(isFrame)?.trim() : undefined;
  return `${printable(frame ?? 'no stack')}`;
}

function isFrame(line: string): boolean {
  return /^\s+at /.test(line);
}

function shown(message: string): string {
  return message.split('\n').map(printable).join('\n    ');
}
