// The record of an image whose data is volume snapshots, as Nova writes it. Pure.
import type { TakenVolumes } from '../../capture/volumes/take-volumes.ts';
import type { PlannedVolume, VolumePlan } from '../../capture/volumes/volume-plan.ts';
import { DISK_FORMATS } from '../../core/model.ts';
import type { DomainDescription } from '../../libvirt/xml/domain-xml.ts';
import { machineProperties } from '../../publish/machine-properties.ts';
import { minDiskGib } from '../../registry/queued-image.ts';
import type { NewImage } from '../../registry/registry-types.ts';
import type { SnapshotSettings } from '../snapshot/settings.ts';

const GIB = 1024 ** 3;

export function newVolumeImage(
  { visibility, tags, properties, protected: isProtected }: SnapshotSettings,
  { image, volumes }: VolumePlan,
  id: string,
): NewImage & { id: string } {
  const [root] = volumes;
  const virtualSize = root?.virtualSize ?? 0;
  return {
    ...{ id, name: image.name, visibility, tags: [...tags], protected: isProtected },
    disk_format: DISK_FORMATS.find((format) => format === root?.format) ?? 'raw',
    virtual_size: virtualSize,
    min_disk: minDiskGib(virtualSize),
    properties: { ...properties },
  };
}

/**
 * The user's own properties win, except those that locate the data.
 * NOTE: unlike Nova's, such an image names its source (`image_type`, `instance_uuid`).
 * @see nova/compute/api.py, snapshot_volume_backed
 */
export function volumeImageProperties(
  { domain, volumes }: VolumePlan,
  description: DomainDescription,
  taken: TakenVolumes,
  own: Readonly<Record<string, string>>,
): Record<string, string> {
  const [root] = volumes;
  const fields: Record<string, string | null> = {
    image_type: 'snapshot',
    instance_uuid: domain.uuid,
    ...machineProperties(description, { bus: root?.bus ?? '' }),
    snapshot_mode: 'volumes',
    snapshot_consistency: taken.consistency,
    snapshot_freeze_ms: taken.freezeMs === null ? null : String(taken.freezeMs),
    ...own,
    root_device_name: `/dev/${root?.target}`,
    // Text, as all properties of an image are; Nova reads it back so.
    bdm_v2: 'True',
    block_device_mapping: JSON.stringify(volumes.map(blockDevice)),
  };
  return Object.fromEntries(
    Object.entries(fields).flatMap(([key, value]) => (value === null ? [] : [[key, value]])),
  );
}

/** All keys that Nova knows, as its snapshot_from_bdm fills them; Cinder's ids are pool and name here. */
function blockDevice({ target, bus, bootIndex, pool, snapshot, virtualSize }: PlannedVolume) {
  return {
    source_type: 'snapshot',
    destination_type: 'volume',
    snapshot_id: `${pool}/${snapshot}`,
    device_name: `/dev/${target}`,
    boot_index: bootIndex,
    disk_bus: bus,
    device_type: 'disk',
    volume_size: Math.ceil(virtualSize / GIB),
    delete_on_termination: false,
    guest_format: null,
    image_id: null,
    no_device: null,
    tag: null,
    volume_id: null,
    volume_type: null,
  };
}
