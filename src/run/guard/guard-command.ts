// The command line of the guard process; under systemd it gets a cgroup of its own.
import { randomUUID } from 'node:crypto';
import { existsSync } from 'node:fs';
import { fileURLToPath } from 'node:url';
import { programUrl } from '../../core/package-files.ts';

export type GuardCommand = [program: string, ...args: string[]];

/** Returns the command of the guard as a child of this process. */
export function guardCommand(uri: string): GuardCommand {
  return [process.execPath, fileURLToPath(programUrl('run/guard-main.js')), uri];
}

/**
 * Returns the command of the guard in a transient scope; undefined if systemd does not run this host.
 *
 * NOTE: systemd ends a unit by killing its whole cgroup (`KillMode=control-group`, `systemctl
 * kill`). A child of the run is in the cgroup of the run's unit. `systemd-run --scope` moves its
 * own process to a new unit, then becomes the command: process id, pipes and session stay.
 */
export function scopedGuardCommand(
  uri: string,
  { booted = SYSTEMD_BOOTED, isRoot = process.geteuid?.() === 0 } = {},
): GuardCommand | undefined {
  // The test of sd_booted(3).
  if (!existsSync(booted)) return undefined;
  const unit = `virt-publish-guard-${randomUUID()}`;
  const description = 'virt-publish guard: restores a guest if its run dies';
  return [
    ...(['systemd-run', isRoot ? '--system' : '--user', '--scope', '--collect'] as const),
    ...['--quiet', '--no-ask-password', `--unit=${unit}`, `--description=${description}`],
    ...['--', ...guardCommand(uri)],
  ];
}

const SYSTEMD_BOOTED = '/run/systemd/system';
