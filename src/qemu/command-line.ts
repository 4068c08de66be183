// The command line of qemu-img, with prlimit before it if the call is limited. Pure.
import type { CallLimits } from './qemu-img-types.ts';

/** NOTE: prlimit does not fork, so the child that is waited for, and killed, is qemu-img itself. */
export function commandLine(
  args: readonly string[],
  { confined }: Pick<CallLimits, 'confined'>,
): [string, ...string[]] {
  if (confined === undefined) return ['qemu-img', ...args];
  const { addressSpaceBytes, cpuS } = confined;
  const limits = [`--as=${addressSpaceBytes}`, `--cpu=${cpuS}`, '--core=0'];
  return ['prlimit', ...limits, '--', 'qemu-img', ...args];
}
