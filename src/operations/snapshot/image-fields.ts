// The properties of an image that are derived from its domain: an allow-list, in Glance's names. Pure.
import type { PointInTime } from '../../capture/capture-run.ts';
import type { CapturePlan } from '../../capture/plan.ts';
import type { Inspection } from '../../domain/inspect.ts';
import { machineProperties } from '../../publish/machine-properties.ts';

export interface BaseImage {
  id: string;
  min_ram: number;
}

/**
 * The properties of a snapshot. Nothing else of the domain leaves the host: no MAC address, no
 * password, no path, no host name. The user's own properties win.
 */
export function imageProperties(
  { uuid, description, disks, existing }: Inspection,
  plan: CapturePlan,
  moment: PointInTime,
  {
    base,
    sealed,
    own,
  }: {
    base: BaseImage | undefined;
    /** The operations of virt-sysprep; null if the image is not sealed. */
    sealed: string | null;
    own: Readonly<Record<string, string>>;
  },
): Record<string, string> {
  return withoutNull({
    image_type: 'snapshot',
    instance_uuid: uuid,
    base_image_ref: base?.id ?? null,
    ...machineProperties(description, disks[0].disk),
    snapshot_mode: plan.mode,
    snapshot_method: plan.method,
    snapshot_name: existing?.name ?? null,
    snapshot_created_at: existing?.createdAt ?? null,
    snapshot_consistency: moment.consistency,
    snapshot_freeze_ms: moment.freezeMs === null ? null : String(moment.freezeMs),
    snapshot_pause_ms: moment.pauseMs === null ? null : String(moment.pauseMs),
    sysprep_operations: sealed,
    ...own,
  });
}

function withoutNull(fields: Record<string, string | null>): Record<string, string> {
  return Object.fromEntries(
    Object.entries(fields).flatMap(([key, value]) => (value === null ? [] : [[key, value]])),
  );
}
