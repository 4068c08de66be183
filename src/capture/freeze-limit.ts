// How long a guest may stay frozen or paused; a Windows guest needs longer.
import type { Config } from '../config/config.ts';
import type { Inspection } from '../domain/inspect.ts';

/**
 * NOTE: on Windows the agent freezes through VSS, which first gives every application up to a minute.
 * Only then are the file systems frozen, and Windows itself thaws them after 10 s.
 * @see qemu-ga, qga/vss-win32; IVssBackupComponents::PrepareForBackup, DoSnapshotSet
 */
export function freezeLimitMs(
  { freezeMs, windowsFreezeMs }: Pick<Config['timeouts'], 'freezeMs' | 'windowsFreezeMs'>,
  { isWindows }: Pick<Inspection, 'isWindows'>,
): number {
  return isWindows ? Math.max(freezeMs, windowsFreezeMs) : freezeMs;
}

/** Returns how long a guest may stay frozen, or paused. */
export function holdLimitMs(
  { freezeLimitMs, timeouts }: { freezeLimitMs: number; timeouts: { freezeMs: number } },
  { how }: { how: 'frozen' | 'paused' },
): number {
  return how === 'frozen' ? freezeLimitMs : timeouts.freezeMs;
}
