// How long a guest may stay frozen: a Windows guest needs longer than the usual deadline.
import type { Config } from '../config/config.ts';
import type { Inspection } from '../domain/inspect.ts';

/**
 * NOTE: on Windows the agent freezes through VSS, which asks every application first and gives them a
 * minute. Only then do the file systems stand still, and Windows itself thaws them after 10 s.
 * @see qemu-ga, qga/vss-win32; IVssBackupComponents::PrepareForBackup, DoSnapshotSet
 */
export function freezeLimitMs(
  { freezeMs, windowsFreezeMs }: Pick<Config['timeouts'], 'freezeMs' | 'windowsFreezeMs'>,
  { isWindows }: Pick<Inspection, 'isWindows'>,
): number {
  return isWindows ? Math.max(freezeMs, windowsFreezeMs) : freezeMs;
}

/** How long a guest may stay so, by how it is held. */
export function holdLimitMs(
  { freezeLimitMs, timeouts }: { freezeLimitMs: number; timeouts: { freezeMs: number } },
  { how }: { how: 'frozen' | 'paused' },
): number {
  return how === 'frozen' ? freezeLimitMs : timeouts.freezeMs;
}
