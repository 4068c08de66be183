// What of a domain goes into its image's record: an allow-list, in Glance's property names. Pure.

import type { StillDisk } from '../capture/capture-run.ts';
import type { Inspection } from '../capture/inspect.ts';
import type { CapturePlan } from '../capture/plan.ts';
import { machineProperties } from './machine-properties.ts';

export interface BaseImage {
  id: string;
  min_ram: number;
}

/**
 * The properties of a snapshot. Nothing else of the domain leaves the host: no MAC address, no
 * password, no path, no host name. The user's own properties win.
 */
export function imageProperties(
  { uuid, description, disk }: Inspection,
  plan: CapturePlan,
  still: StillDisk,
  {
    base,
    sealed,
    own,
  }: {
    base: BaseImage | undefined;
    /** The operations of virt-sysprep, where the image is sealed. */
    sealed: string | null;
    own: Readonly<Record<string, string>>;
  },
): Record<string, string> {
  return withoutNull({
    image_type: 'snapshot',
    instance_uuid: uuid,
    base_image_ref: base?.id ?? null,
    ...machineProperties(description, disk),
    snapshot_mode: plan.mode,
    snapshot_method: plan.method,
    snapshot_consistency: still.consistency,
    snapshot_freeze_ms: still.freezeMs === null ? null : String(still.freezeMs),
    sysprep_operations: sealed,
    ...own,
  });
}

function withoutNull(fields: Record<string, string | null>): Record<string, string> {
  return Object.fromEntries(
    Object.entries(fields).flatMap(([key, value]) => (value === null ? [] : [[key, value]])),
  );
}
