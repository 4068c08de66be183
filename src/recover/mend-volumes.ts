// The volume snapshots of a dead run: kept where its image is active, else taken back.
import type { Config } from '../config.ts';
import { Host } from '../libvirt/host.ts';
import { type RunFacts, reached } from '../run/journal.ts';
import type { RunOnDisk } from '../run/runs.ts';
import { ACTIVE_POINT } from '../snapshot/finish.ts';
import { CAPTURED_POINT, isNeeded } from '../volumes/needed-volumes.ts';
import { rollBackVolumes, VOLUMES_POINT, type VolumesPoint } from '../volumes/roll-back-volumes.ts';

/** What the run was to make snapshots of; undefined where it was another kind of run. */
export function volumesOf({ entries }: Pick<RunOnDisk, 'entries'>): VolumesPoint | undefined {
  return (reached(entries, VOLUMES_POINT) ?? undefined) as VolumesPoint | undefined;
}

/**
 * After the image's record was seen to: `status` is what it says now.
 * @throws what libvirt says, where a snapshot could not be taken back; PublishError REGISTRY where
 * nobody knows whether it must.
 */
export async function mendVolumes(
  { timeouts }: Pick<Config, 'timeouts'>,
  run: RunOnDisk,
  { uri, domain, registry }: RunFacts,
  { status, onRemark }: { status: string | null; onRemark: (remark: string) => void },
): Promise<void> {
  const point = volumesOf(run);
  if (!point || reached(run.entries, ACTIVE_POINT) !== undefined) return;
  const mayBeActive = reached(run.entries, CAPTURED_POINT) !== undefined;
  if (mayBeActive && isNeeded({ id: run.runId, status }, registry ?? '')) return;
  const { managedSaveMs, libvirtMs } = timeouts;
  const host = new Host(uri, { workMs: managedSaveMs + libvirtMs, controlMs: libvirtMs });
  try {
    const remark = await rollBackVolumes(host, domain, point);
    if (remark !== undefined) onRemark(remark);
  } finally {
    await host.close();
  }
}
