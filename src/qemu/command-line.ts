// The programs that stand before qemu-img where it is limited or made polite; each execs the next. Pure.
import type { CallLimits } from './qemu-img-types.ts';

/** NOTE: none of them forks, so the child that is waited for, and killed, is qemu-img itself. */
export function commandLine(
  args: readonly string[],
  { confined }: Pick<CallLimits, 'confined'>,
): [string, ...string[]] {
  const [program = 'qemu-img', ...rest] = [...withLimits(confined), 'qemu-img', ...args];
  return [program, ...rest];
}

function withLimits(confined: CallLimits['confined']): string[] {
  if (confined === undefined) return [];
  const { addressSpaceBytes, cpuS } = confined;
  return ['prlimit', `--as=${addressSpaceBytes}`, `--cpu=${cpuS}`, '--core=0', '--'];
}
