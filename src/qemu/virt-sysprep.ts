// Runs libguestfs's virt-sysprep, which removes from an image what identifies its guest.
import { resolve } from 'node:path';
import { PublishError, saysNoSpace } from '../core/errors.ts';
import type { ImageFile } from './qemu-img-types.ts';
import { type Outcome, runProgram } from './run-program.ts';

interface SysprepLimits {
  /** The value of `--operations`, such as `defaults,-ssh-userdir`. */
  operations: string;
  timeoutMs: number;
  signal: AbortSignal;
}

// NOTE: with `direct` libguestfs starts a QEMU of its own. Its libvirt backend would define a domain,
// whose QEMU runs as a user that may not write to the image.
const ENVIRONMENT = { LIBGUESTFS_BACKEND: 'direct' };

/**
 * Checks that virt-sysprep is installed and knows these operations. It changes nothing.
 * @throws PublishError SYSPREP if it cannot run; USAGE if it does not know an operation.
 */
export async function requireSysprep(limits: SysprepLimits): Promise<void> {
  const { operations } = limits;
  // It reads its options in order: an unknown operation ends it before it lists any.
  const outcome = await run(['--operations', operations, '--list-operations'], limits);
  if (outcome.exitCode === 0) return;
  if (outcome.exitCode === undefined) throw sysprepFailure('this host', limits, outcome);
  const message = `virt-sysprep refuses the operations ${JSON.stringify(operations)}: ${lastError(outcome)}`;
  const hint = 'name operations that virt-sysprep --list-operations lists';
  throw new PublishError('USAGE', message, { step: 'config', hint });
}

/**
 * Changes the disks of one guest in place. After a failure they must not be used.
 * @throws PublishError SYSPREP, NO_SPACE; the signal's reason, when the child has ended.
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
  const code = saysNoSpace(outcome.stderr) ? 'NO_SPACE' : 'SYSPREP';
  const { how, hint } = describeEnd(limits, outcome);
  const ownHint = code === 'NO_SPACE' ? {} : { hint };
  return new PublishError(code, `virt-sysprep on ${path} ${how}`, { step: 'sysprep', ...ownHint });
}

/** Returns the end of a sentence that begins with the program, and a hint. */
function describeEnd(
  { timeoutMs }: SysprepLimits,
  outcome: Outcome,
): { how: string; hint: string } {
  const { spawnCode, timedOut, killedBy } = outcome;
  if (spawnCode === 'ENOENT')
    return {
      how: 'could not start: it is not in PATH',
      hint: 'install guestfs-tools (before Debian 12 and Ubuntu 22.04: libguestfs-tools) and a kernel package for its appliance, or leave --sysprep out',
    };
  if (spawnCode === 'EACCES')
    return {
      how: 'could not start: this user may not execute it',
      hint: 'correct the permissions of the virt-sysprep that is first in PATH',
    };
  if (timedOut)
    return {
      how: `was stopped after ${Math.round(timeoutMs / 1000)} s, its deadline`,
      hint: 'raise timeouts.sysprepMs; without KVM it takes several times as long',
    };
  if (killedBy !== undefined)
    return {
      how: `was killed by ${killedBy}`,
      hint: 'look for the out-of-memory killer in the kernel log, then run it again',
    };
  return {
    how: `failed: ${lastError(outcome)}`,
    hint: 'run libguestfs-test-tool to see whether libguestfs works on this host; nothing was published',
  };
}

// NOTE: several lines on how to report a bug follow the line that matters.
function lastError({ stderr }: Outcome): string {
  const lines = stderr.split(/[\r\n]+/).map((line) => line.trim());
  const errors = lines.filter((line) => line.startsWith('virt-sysprep: error: '));
  const error = errors.at(-1)?.replace('virt-sysprep: error: ', '') ?? lines.find(Boolean);
  return (error ?? 'it printed no message').slice(0, 500);
}
