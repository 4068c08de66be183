// The one error class of virt-publish.
import { ERROR_CATALOGUE, type ErrorCode } from './error-catalogue.ts';
import { withoutSecrets } from './secrets.ts';

/** The steps of a run and of the registry commands, as they stand in events, journals and errors. */
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
  /** What to do next, in one line; the hint of its code in the catalogue if left out. */
  hint?: string;
  /** What the undos raised, in the order they were run. Empty when everything was put back. */
  undoFailures?: readonly Error[];
  /** The shell command that puts right what the undos could not; it is printed last. */
  recoveryCommand?: string;
}

/** Of these, what lacks space on this host is a NO_SPACE; other codes say more than that does. */
const MAY_LACK_SPACE: readonly ErrorCode[] = [
  ...(['INTERNAL', 'CONFIG', 'LIBVIRT', 'MIRROR', 'MANAGED_SAVE', 'CHAIN'] as const),
  ...(['QEMU_IMG', 'SYSPREP', 'VOLUMES', 'WORK_DIR'] as const),
];

/**
 * Every failure that leaves this package. The message says what failed, on what; `hint` says
 * what to do next. Secrets in the message, in `hint` and in `recoveryCommand` are masked here, so
 * that they may quote what other programs said. No message holds a domain's XML. If the cause is a full file system or quota, the
 * code is NO_SPACE, whatever failed of it.
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
 * Returns what an image's record may say of an error: `MIRROR (mirror): mirror failed, stalled or
 * never converged`. Everybody who reads the registry can read it, so the error's own message, which
 * names paths, hosts and processes, is not part of it.
 */
export function publicReason(error: unknown): string {
  const known = error instanceof PublishError && error.step !== undefined;
  const code = codeOf(error);
  const step = known ? ` (${error.step})` : '';
  return `${code}${step}: ${ERROR_CATALOGUE[code].meaning}`;
}

/** The error's message, whatever was thrown, with its secrets masked. */
export function messageOf(error: unknown): string {
  return withoutSecrets(error instanceof Error ? error.message : String(error));
}

/** The code of whatever was thrown: INTERNAL if it is no PublishError, NO_SPACE if space is lacking. */
export function codeOf(error: unknown): ErrorCode {
  if (error instanceof PublishError) return error.code;
  return lacksSpace(error) ? 'NO_SPACE' : 'INTERNAL';
}

/** Whether the error or one of its causes is that a file system or a quota is full. */
export function lacksSpace(error: unknown): boolean {
  let cause = error;
  for (let depth = 0; cause instanceof Error && depth < MAX_CAUSES; depth += 1) {
    if (hasCode(cause, 'ENOSPC', 'EDQUOT', 'NO_SPACE') || saysNoSpace(cause.message)) return true;
    cause = cause.cause;
  }
  return false;
}

const MAX_CAUSES = 10;

/** Whether a program or daemon says that space is lacking, in the words of strerror(3). */
export function saysNoSpace(text: string): boolean {
  return /No space left on device|Disk quota exceeded/i.test(text);
}

/** Whether it is an error of the system with one of these codes, as `ENOENT`. */
export function hasCode(error: unknown, ...codes: string[]): boolean {
  return error instanceof Error && 'code' in error && codes.includes(String(error.code));
}
