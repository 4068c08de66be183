// The one error class of virt-publish.
import { ERROR_CATALOGUE, type ErrorCode } from './error-catalogue.ts';
import { withoutSecrets } from './secrets.ts';

/** The steps of a run and of the registry commands, as named in events, journals and errors. */
export type Step =
  | 'config'
  | 'wait'
  | 'inspect'
  | 'space'
  | 'queue'
  | 'delta'
  | 'undefine'
  | 'mirror'
  | 'quiesce'
  | 'redefine'
  | 'detach'
  | 'save'
  | 'commit'
  | 'pivot'
  | 'clone'
  | 'start'
  | 'attach'
  | 'download'
  | 'unpack'
  | 'convert'
  | 'check'
  | 'sysprep'
  | 'volumes'
  | 'upload'
  | 'activate'
  | 'alias'
  | 'restore'
  | 'rollback'
  | 'registry'
  | 'pull'
  | 'verify'
  | 'copy';

/** The facts of an error beside its code and message. */
export interface PublishErrorOptions {
  step?: Step;
  /** True if the same call may succeed later without a change. */
  retryable?: boolean;
  cause?: unknown;
  /** What to do next, in one line; if left out, the hint of the code in the catalogue. */
  hint?: string;
  /** The errors of the undos, in the order in which they ran; empty if all was undone. */
  undoFailures?: readonly Error[];
  /** The shell command that finishes what the undos could not; it is printed last. */
  recoveryCommand?: string;
}

/** These codes become NO_SPACE if space on this host is lacking; the other codes are more specific. */
const MAY_LACK_SPACE: readonly ErrorCode[] = [
  ...(['INTERNAL', 'CONFIG', 'LIBVIRT', 'MIRROR', 'MANAGED_SAVE', 'CHAIN'] as const),
  ...(['QEMU_IMG', 'SYSPREP', 'VOLUMES', 'WORK_DIR'] as const),
];

/**
 * The error of every failure that leaves this package. The message says what failed on what; `hint`
 * says what to do next. Secrets in the message, in `hint` and in `recoveryCommand` are masked here, so
 * they may quote other programs. No message has a domain's XML in it. If the cause is a full file
 * system or quota, most codes become NO_SPACE.
 */
export class PublishError extends Error {
  override readonly name = 'PublishError';
  readonly code: ErrorCode;
  readonly step: Step | undefined;
  readonly retryable: boolean;
  /** What to do next, in one line. */
  readonly hint: string;
  readonly undoFailures: readonly Error[];
  readonly recoveryCommand: string | undefined;

  constructor(code: ErrorCode, message: string, options: PublishErrorOptions = {}) {
    super(
      withoutSecrets(message),
      options.cause === undefined ? undefined : { cause: options.cause },
    );
    this.code = MAY_LACK_SPACE.includes(code) && lacksSpace(options.cause) ? 'NO_SPACE' : code;
    this.step = options.step;
    this.hint = withoutSecrets(options.hint ?? ERROR_CATALOGUE[this.code].hint);
    this.retryable = options.retryable ?? false;
    this.undoFailures = options.undoFailures ?? [];
    this.recoveryCommand =
      options.recoveryCommand === undefined ? undefined : withoutSecrets(options.recoveryCommand);
  }
}

/**
 * Returns the reason that an image's record gives for an error: `MIRROR (mirror): mirror failed, stalled
 * or never converged`. Every client of the registry can read it, so it leaves out the error's message,
 * which names paths, hosts and processes.
 */
export function publicReason(error: unknown): string {
  const known = error instanceof PublishError && error.step !== undefined;
  const code = codeOf(error);
  const step = known ? ` (${error.step})` : '';
  return `${code}${step}: ${ERROR_CATALOGUE[code].meaning}`;
}

/** Returns the message of any thrown value, with its secrets masked. */
export function messageOf(error: unknown): string {
  return withoutSecrets(error instanceof Error ? error.message : String(error));
}

/** Returns the code of a PublishError; of any other value NO_SPACE if space is lacking, else INTERNAL. */
export function codeOf(error: unknown): ErrorCode {
  if (error instanceof PublishError) return error.code;
  return lacksSpace(error) ? 'NO_SPACE' : 'INTERNAL';
}

/** Returns whether the error or one of its causes is a full file system or quota. */
export function lacksSpace(error: unknown): boolean {
  let cause = error;
  for (let depth = 0; cause instanceof Error && depth < MAX_CAUSES; depth += 1) {
    if (hasCode(cause, 'ENOSPC', 'EDQUOT', 'NO_SPACE') || saysNoSpace(cause.message)) return true;
    cause = cause.cause;
  }
  return false;
}

const MAX_CAUSES = 10;

/** Returns whether the text of a program reports a full file system, in the words of strerror(3). */
export function saysNoSpace(text: string): boolean {
  return /No space left on device|Disk quota exceeded/i.test(text);
}

/** Returns whether the error has one of these codes, such as `ENOENT`. */
export function hasCode(error: unknown, ...codes: string[]): boolean {
  return error instanceof Error && 'code' in error && codes.includes(String(error.code));
}
