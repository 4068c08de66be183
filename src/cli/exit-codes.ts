// The exit codes: one table for the program, `--help` and the README, made from the error catalogue.
import { ERROR_CATALOGUE, ERROR_CODES, type ErrorCode } from '../core/error-catalogue.ts';
import { codeOf } from '../core/errors.ts';

/** A command's way to report its exit code. */
export type SetExitCode = (exitCode: number) => void;

/** A number never changes its meaning. */
export interface ExitCode {
  exit: number;
  /** The error codes with this exit code. */
  codes: readonly ErrorCode[];
  meaning: string;
  hint: string;
}

export const EXIT_CODES: readonly ExitCode[] = [
  { exit: 0, codes: [], meaning: 'done', hint: '-' },
  ...[...new Set(ERROR_CODES.map((code) => ERROR_CATALOGUE[code].exitCode))].map(rowOf),
];

/** Returns the exit code of anything that was thrown. */
export function exitCodeOf(error: unknown): number {
  return ERROR_CATALOGUE[codeOf(error)].exitCode;
}

/** The table as `--help` shows it. */
export function exitCodesHelp(): string {
  const rows = EXIT_CODES.map(({ exit, meaning }) => `  ${String(exit).padEnd(5)}${meaning}`);
  return ['Exit codes:', ...rows].join('\n');
}

function rowOf(exit: number): ExitCode {
  const codes = ERROR_CODES.filter((code) => ERROR_CATALOGUE[code].exitCode === exit);
  const { meaning, hint } = ERROR_CATALOGUE[codes[0] as ErrorCode];
  return { exit, codes, meaning, hint };
}
