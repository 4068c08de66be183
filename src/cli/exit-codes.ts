// The exit codes: one table for the program, `--help` and the README.
import { type ErrorCode, PublishError } from '../errors.ts';

export interface ExitCode {
  exit: number;
  /** The error codes that end so. */
  codes: readonly ErrorCode[];
  meaning: string;
  cure: string;
}

/** A promise to scripts: a number never changes its meaning. */
export const EXIT_CODES: readonly ExitCode[] = [
  row(0, [], 'done', '-'),
  row(1, ['INTERNAL'], 'internal error', 'report it, with the message'),
  row(
    2,
    ['USAGE', 'CONFIG'],
    'wrong usage or configuration',
    'see --help; the message names the flag, file or key',
  ),
  row(10, ['DOMAIN_NOT_FOUND'], 'domain not found', 'look at `virsh list --all`'),
  row(
    11,
    ['DOMAIN_BUSY'],
    'domain busy with another run or block job',
    'wait for it, or end the job',
  ),
  row(12, ['DISK_UNSUPPORTED'], 'disk cannot be taken', 'choose another with --disk'),
  row(
    13,
    ['LIBVIRT'],
    'libvirt cannot be reached, or refused',
    'start libvirtd; look at --connect and at your rights',
  ),
  row(
    20,
    ['MIRROR'],
    'mirror failed, stalled or never converged',
    'try --bandwidth, --method copy or --mode cold',
  ),
  row(
    21,
    ['QUIESCE'],
    'guest could not be quiesced',
    'start the agent in the guest, or use --quiesce try',
  ),
  row(
    22,
    ['MANAGED_SAVE'],
    'managed save failed',
    'look for space in /var/lib/libvirt/qemu/save, or use --mode live',
  ),
  row(
    23,
    ['CHAIN'],
    'chain not shortened; it reads as before',
    'the message says why; look at `virt-publish chain show`',
  ),
  row(
    24,
    ['CHAIN_IN_USE'],
    'somebody else needs a layer as it is',
    'choose another --base or --top, or end that use first',
  ),
  row(
    30,
    ['QEMU_IMG'],
    'qemu-img failed or is missing',
    'install qemu-utils; the message has its words',
  ),
  row(31, ['NO_SPACE'], 'no space left', 'free some, or choose another --work-dir'),
  row(
    32,
    ['WORK_DIR'],
    'work directory cannot be used',
    'choose another --work-dir; QEMU must be able to reach it',
  ),
  row(
    33,
    ['SYSPREP'],
    'virt-sysprep failed or is missing',
    'install guestfs-tools; the message has its words',
  ),
  row(
    34,
    ['VOLUMES'],
    'snapshot of the volumes failed',
    'the message says what libvirt said; none of them was kept',
  ),
  row(
    40,
    ['IMAGE_NOT_FOUND', 'IMAGE_STATUS'],
    'image not found, or its status forbids it',
    'look at `virt-publish list`',
  ),
  row(41, ['UPLOAD'], 'upload failed', 'run it again when registry and storage are well'),
  row(
    42,
    ['INTEGRITY'],
    'data is not what it should be',
    'do not use it; fetch or publish it again',
  ),
  row(
    43,
    ['PRECONDITION_LOST'],
    'another client was first',
    'look at the new state, and try again',
  ),
  row(
    44,
    ['REGISTRY'],
    'registry cannot be reached, or refuses',
    'look at bucket, endpoint and credentials',
  ),
  row(
    45,
    ['IMAGE_REFUSED', 'DOWNLOAD'],
    'image refused, or its URL unreachable',
    'the message says what is wrong with it, or its URL',
  ),
  row(
    50,
    ['GUEST_NOT_RESTORED'],
    'GUEST COULD NOT BE PUT BACK',
    'run the command that is printed last',
  ),
  row(130, ['INTERRUPTED'], 'interrupted; all was undone', 'run it again'),
];

/** The exit code of whatever was thrown. */
export function exitCodeOf(error: unknown): number {
  const code = error instanceof PublishError ? error.code : 'INTERNAL';
  return EXIT_CODES.find((entry) => entry.codes.includes(code))?.exit ?? 1;
}

/** The table as `--help` shows it. */
export function exitCodesHelp(): string {
  const rows = EXIT_CODES.map(({ exit, meaning }) => `  ${String(exit).padEnd(5)}${meaning}`);
  return ['Exit codes:', ...rows].join('\n');
}

function row(exit: number, codes: readonly ErrorCode[], meaning: string, cure: string): ExitCode {
  return { exit, codes, meaning, cure };
}
