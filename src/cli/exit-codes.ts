// The exit codes: one table for the program, `--help` and the README.
import { ERROR_MEANINGS } from '../core/error-meanings.ts';
import { codeOf, type ErrorCode } from '../core/errors.ts';

/** A command's way to tell its exit code. */
export type SetExitCode = (exitCode: number) => void;

export interface ExitCode {
  exit: number;
  /** The error codes that end so. */
  codes: readonly ErrorCode[];
  meaning: string;
  cure: string;
}

/** A promise to scripts: a number never changes its meaning. */
export const EXIT_CODES: readonly ExitCode[] = [
  { exit: 0, codes: [], meaning: 'done', cure: '-' },
  row(1, ['INTERNAL'], 'report it, with the message'),
  row(2, ['USAGE', 'CONFIG'], 'see --help; the message names the flag, file or key'),
  row(10, ['DOMAIN_NOT_FOUND'], 'look at `virsh list --all`'),
  row(11, ['DOMAIN_BUSY'], 'wait for it, or end the job'),
  row(12, ['DISK_UNSUPPORTED'], 'choose another with --disk'),
  row(13, ['LIBVIRT'], 'start libvirtd; look at --connect and at your rights'),
  row(20, ['MIRROR'], 'try --bandwidth, --method copy or --mode cold'),
  row(21, ['QUIESCE'], 'start the agent in the guest, or use --quiesce try'),
  row(22, ['MANAGED_SAVE'], 'look for space in /var/lib/libvirt/qemu/save, or use --mode live'),
  row(23, ['CHAIN'], 'the message says why; look at `virt-publish chain show`'),
  row(24, ['CHAIN_IN_USE'], 'choose another --base or --top, or end that use first'),
  row(30, ['QEMU_IMG'], 'install qemu-utils; the message has its words'),
  row(31, ['NO_SPACE'], 'free some, or choose another --work-dir'),
  row(32, ['WORK_DIR'], 'choose another --work-dir; QEMU must be able to reach it'),
  row(33, ['SYSPREP'], 'install guestfs-tools; the message has its words'),
  row(34, ['VOLUMES'], 'the message says what libvirt said; none of them was kept'),
  row(40, ['IMAGE_NOT_FOUND', 'IMAGE_STATUS'], 'look at `virt-publish list`'),
  row(41, ['UPLOAD'], 'run it again when registry and storage are well'),
  row(42, ['INTEGRITY'], 'do not use it; fetch or publish it again'),
  row(43, ['PRECONDITION_LOST'], 'look at the new state, and try again'),
  row(44, ['REGISTRY'], 'look at bucket, endpoint and credentials'),
  row(45, ['IMAGE_REFUSED', 'DOWNLOAD'], 'the message says what is wrong with it, or its URL'),
  row(50, ['GUEST_NOT_RESTORED'], 'run the command that is printed last'),
  row(130, ['INTERRUPTED'], 'run it again'),
];

/** The exit code of whatever was thrown. */
export function exitCodeOf(error: unknown): number {
  const code = codeOf(error);
  return EXIT_CODES.find((entry) => entry.codes.includes(code))?.exit ?? 1;
}

/** The table as `--help` shows it. */
export function exitCodesHelp(): string {
  const rows = EXIT_CODES.map(({ exit, meaning }) => `  ${String(exit).padEnd(5)}${meaning}`);
  return ['Exit codes:', ...rows].join('\n');
}

function row(exit: number, codes: readonly [ErrorCode, ...ErrorCode[]], cure: string): ExitCode {
  return { exit, codes, meaning: ERROR_MEANINGS[codes[0]], cure };
}
