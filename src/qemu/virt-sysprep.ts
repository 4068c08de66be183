// The real virt-sysprep of libguestfs: what makes an image one that many guests can be made from.
import { resolve } from 'node:path';
import { PublishError, saysNoSpace } from '../core/errors.ts';
import type { ImageFile } from './qemu-img-types.ts';
import { type Outcome, runProgram } from './run-program.ts';

interface SysprepLimits {
  /** As `--operations` has it: `defaults,-ssh-userdir`. */
  operations: string;
  timeoutMs: number;
  signal: AbortSignal;
}

// NOTE: libguestfs starts a QEMU of its own and talks to it. Its other way, through libvirt, would
// make a domain of it, whose QEMU runs as a user that may not write to the image.
const ENVIRONMENT = { LIBGUESTFS_BACKEND: 'direct' };

/**
 * That virt-sysprep is there, and knows these operations. Touches nothing.
 * @throws PublishError SYSPREP with what to install; USAGE where it does not know an operation.
 */
export async function requireSysprep(limits: SysprepLimits): Promise<void> {
  const { operations } = limits;
  // It reads its options in their order: a wrong operation ends it before it lists them.
  const outcome = await run(['--operations', operations, '--list-operations'], limits);
  if (outcome.exitCode === 0) return;
  if (outcome.exitCode === undefined) throw sysprepFailure('this host', limits, outcome);
  const message = `virt-sysprep takes no operations ${JSON.stringify(operations)}: ${lastWords(outcome)}; see virt-sysprep --list-operations`;
  throw new PublishError('USAGE', message, { step: 'config' });
}

/**
 * Changes the disks of one guest in place. What a failure leaves of them is good for nothing.
 * @throws PublishError SYSPREP; the signal's reason, when the child is gone.
 */
export async function sysprep(
  images: readonly ImageFile[],
  limits: SysprepLimits & { tempDir: string },
): Promise<void> {
  const disks = images.map(({ path, format }) => ({ path: resolve(path), format }));
  const added = disks.flatMap(({ path, format }) => ['--format', format, '-a', path]);
  const args = [...added, '--operations', limits.operations];
  const outcome = await run(args, limits, { LIBGUESTFS_TMPDIR: limits.tempDir });
  if (outcome.exitCode !== 0)
    throw sysprepFailure(disks.map(({ path }) => path).join(', '), limits, outcome);
}

async function run(
  args: readonly string[],
  { timeoutMs, signal }: SysprepLimits,
  env: Readonly<Record<string, string>> = {},
): Promise<Outcome> {
  const argv = ['virt-sysprep', ...args] as const;
  return runProgram({ argv, timeoutMs, signal, env: { ...ENVIRONMENT, ...env } });
}

function sysprepFailure(path: string, limits: SysprepLimits, outcome: Outcome): PublishError {
  const message = `virt-sysprep on ${path} ${ending(limits, outcome)}`;
  const code = saysNoSpace(outcome.stderr) ? 'NO_SPACE' : 'SYSPREP';
  return new PublishError(code, message, { step: 'sysprep' });
}

function ending({ timeoutMs }: SysprepLimits, outcome: Outcome): string {
  const { spawnCode, timedOut, killedBy } = outcome;
  if (spawnCode === 'ENOENT')
    return 'could not start: it is not in PATH; install guestfs-tools (before Debian 12 and Ubuntu 22.04: libguestfs-tools) and a kernel package for its appliance, or leave --sysprep out';
  if (spawnCode === 'EACCES')
    return 'could not start: virt-sysprep in PATH is not executable for this user';
  if (timedOut)
    return `was stopped after ${Math.round(timeoutMs / 1000)} s, its deadline; without KVM it takes several times as long: raise timeouts.sysprepMs`;
  if (killedBy !== undefined)
    return `was killed by ${killedBy}: see the kernel log for the out-of-memory killer, then run it again`;
  return `failed: ${lastWords(outcome)}; nothing was published. libguestfs-test-tool says whether libguestfs works on this host`;
}

// NOTE: hints of several lines on how to report a bug follow the line that matters.
function lastWords({ stderr }: Outcome): string {
  const lines = stderr.split(/[\r\n]+/).map((line) => line.trim());
  const errors = lines.filter((line) => line.startsWith('virt-sysprep: error: '));
  const said = errors.at(-1)?.replace('virt-sysprep: error: ', '') ?? lines.find(Boolean);
  return (said ?? 'it said nothing').slice(0, 500);
}
