// The volume snapshots of a dead run: kept if its image is or was active, else removed.
import { join } from 'node:path';
import { CAPTURED_POINT, isNeeded, mayBeInFlight } from '../capture/volumes/needed-volumes.ts';
import type { VolumesPoint } from '../capture/volumes/rollback-request.ts';
import { rollbackVolumes } from '../capture/volumes/rollback-volumes.ts';
import type { Config } from '../config/config.ts';
import type { OnEvent } from '../core/events.ts';
import { Host } from '../libvirt/host.ts';
import { ACTIVE_POINT } from '../publish/finish.ts';
import { JOURNAL_FILE, Journal, type RunFacts, reached } from '../run/journal/journal.ts';
import { type RunOnDisk, VOLUMES_POINT } from '../run/runs.ts';

/** Returns the volumes of the run; undefined if it was another kind of run. */
export function volumesOf({ entries }: Pick<RunOnDisk, 'entries'>): VolumesPoint | undefined {
  return (reached(entries, VOLUMES_POINT) ?? undefined) as VolumesPoint | undefined;
}

export interface RecoverVolumesOptions {
  /** Status of the image's record after its recovery; null if it has no record. */
  status: string | null;
  onEvent: OnEvent;
  onNote: (note: string) => void;
  signal: AbortSignal;
}

/**
 * @throws PublishError REGISTRY if it is unknown whether an image needs them; like rollbackVolumes.
 */
export async function recoverVolumes(
  config: Pick<Config, 'timeouts' | 'reserve'>,
  run: RunOnDisk,
  { uri, domain, registry }: RunFacts,
  { status, onEvent, onNote, signal }: RecoverVolumesOptions,
): Promise<void> {
  const { runId, entries } = run;
  const point = volumesOf(run);
  if (!point || reached(entries, ACTIVE_POINT) !== undefined) return;
  const mayBeActive = reached(entries, CAPTURED_POINT) !== undefined;
  if (mayBeActive && isNeeded({ id: runId, status }, registry ?? '')) return;
  const { managedSaveMs, libvirtMs } = config.timeouts;
  const host = new Host(uri, { callMs: libvirtMs, longMs: managedSaveMs + libvirtMs });
  const journal = await Journal.reopen(join(run.path, JOURNAL_FILE));
  try {
    await rollbackVolumes({
      ...{ host, domain, runId, point, mayBeInFlight: mayBeInFlight(entries) },
      ...{ isLate: true, journal, config, onEvent, onNote, signal },
    });
  } finally {
    await journal.close();
    await host.close();
  }
}
