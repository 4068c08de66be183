// The programs that stand before qemu-img where it is limited or made polite; each execs the next. Pure.
import type { CallLimits } from './qemu-img-types.ts';

const IO_CLASS = {
  // Its lowest level of eight: behind whatever else is best-effort, and never starved as idle is.
  'best-effort': ['-c', '2', '-n', '7'],
  idle: ['-c', '3'],
} as const;

/** NOTE: none of them forks, so the child that is waited for, and killed, is qemu-img itself. */
export function commandLine(
  args: readonly string[],
  { confined, priority }: Pick<CallLimits, 'confined' | 'priority'>,
): [string, ...string[]] {
  const [program = 'qemu-img', ...rest] = [
    ...withPriority(priority),
    ...withLimits(confined),
    'qemu-img',
    ...args,
  ];
  return [program, ...rest];
}

function withPriority(priority: CallLimits['priority']): string[] {
  if (priority === undefined) return [];
  const { nice, ionice } = priority;
  return [
    ...(nice === 0 ? [] : ['nice', '-n', String(nice)]),
    ...(ionice === 'none' ? [] : ['ionice', ...IO_CLASS[ionice]]),
  ];
}

function withLimits(confined: CallLimits['confined']): string[] {
  if (confined === undefined) return [];
  const { addressSpaceBytes, cpuS } = confined;
  return ['prlimit', `--as=${addressSpaceBytes}`, `--cpu=${cpuS}`, '--core=0', '--'];
}
