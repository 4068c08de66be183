// Plans the snapshot of each volume of a domain, or throws why it is not possible. Pure.
import { dirname, join } from 'node:path';
import { PublishError } from '../../core/errors.ts';
import { formatBytes } from '../../core/format-bytes.ts';
import { obstacleInSource } from '../../domain/choose-disk.ts';
import { inRootOrder } from '../../domain/root-disk.ts';
import type { Volume } from '../../libvirt/storage.ts';
import type { DiskDescription } from '../../libvirt/xml/domain-xml.ts';
import { snapshotVolumeBytes } from '../../libvirt/xml/storage-xml.ts';
import type { PlannedVolume, VolumeSnapshotKind } from './volume-plan.ts';

/** A disk and its volume; undefined if it is no volume. */
export interface DiskVolume {
  disk: DiskDescription;
  volume: Volume | undefined;
}

const HINT =
  'see virsh pool-list; or take the data with `virt-publish snapshot`, since volume snapshots take all disks or none';

/** The kind of snapshot by type of pool. */
const KINDS: Readonly<Record<string, VolumeSnapshotKind>> = {
  logical: 'volume',
  dir: 'overlay',
  fs: 'overlay',
  netfs: 'overlay',
};

export interface VolumesOfDomain {
  name: string;
  active: boolean;
  /** All disks but CD-ROMs and floppies, in the domain's order. */
  disks: readonly DiskVolume[];
}

/**
 * Returns the volumes, the root disk first. `mark` distinguishes this run's volumes from all others.
 * @throws PublishError DISK_UNSUPPORTED with the name of the disk; NO_SPACE
 */
export function planVolumes(
  domain: VolumesOfDomain,
  mark: string,
): { kind: VolumeSnapshotKind; volumes: PlannedVolume[] } {
  const found = inRootOrder(domain.disks, ({ disk }) => disk).map((each) =>
    requireVolume(domain.name, each),
  );
  const [root] = found;
  if (!root) throw unsupported(`domain ${domain.name} has no disk to take`);
  const kind = kindOf(domain.name, root);
  const other = found.find((each) => kindOf(domain.name, each) !== kind);
  if (other) {
    throw unsupported(
      `disk ${other.disk.target} of domain ${domain.name} is in the ${other.volume.pool.type} pool ${other.volume.pool.name}, and disk ${root.disk.target} in the ${root.volume.pool.type} pool ${root.volume.pool.name}: no snapshot takes both at one point in time`,
      'publish its disks without --volume-snapshots',
    );
  }
  if (kind === 'overlay' && !domain.active) {
    throw unsupported(
      `cannot make overlays for domain ${domain.name}: it is off`,
      'publish its disks with `virt-publish snapshot`, or start it',
    );
  }
  if (kind === 'volume') assertGroupsHaveRoom(found);
  const volumes = found.map((each, index) => ({
    ...{ target: each.disk.target, bus: each.disk.bus },
    bootIndex: index === 0 ? 0 : each.disk.bootOrder === null ? null : index,
    ...{ pool: each.volume.pool.name, volume: each.volume.name },
    ...{ format: each.disk.format ?? each.volume.format, virtualSize: each.volume.capacity },
    ...(kind === 'volume'
      ? { snapshot: `${each.volume.name}-${mark}`, overlay: null }
      : { snapshot: each.volume.name, overlay: overlayPath(each.volume.path, mark) }),
  }));
  return { kind, volumes };
}

type FoundVolume = DiskVolume & { volume: Volume };

function requireVolume(domain: string, { disk, volume }: DiskVolume): FoundVolume {
  const obstacle = obstacleOf(disk, volume);
  if (obstacle === undefined && volume) return { disk, volume };
  throw unsupported(`disk ${disk.target} of domain ${domain} ${obstacle}`);
}

function obstacleOf(disk: DiskDescription, volume: Volume | undefined): string | undefined {
  if (!volume) {
    return 'is not a volume of an active storage pool';
  }
  if (disk.shareable) return 'is shareable: another guest may write to it at the point in time';
  if (disk.readonly) return 'is read-only, so the domain cannot use an overlay of it';
  if (disk.transient) return 'is transient: libvirt discards its changes';
  const inSource = obstacleInSource(disk);
  if (inSource !== undefined) return inSource;
  if (KINDS[volume.pool.type] !== undefined) return undefined;
  const types = Object.keys(KINDS).join(', ');
  return `is in pool ${volume.pool.name} of type ${volume.pool.type}; snapshots are made in pools of type ${types}`;
}

function kindOf(domain: string, { disk, volume }: FoundVolume): VolumeSnapshotKind {
  const kind = KINDS[volume.pool.type];
  if (kind) return kind;
  throw unsupported(`disk ${disk.target} of domain ${domain} is not in a pool with snapshots`);
}

function assertGroupsHaveRoom(found: readonly FoundVolume[]): void {
  for (const { volume } of found) {
    const { name, available } = volume.pool;
    const here = found.filter((each) => each.volume.pool.name === name);
    const needed = here.reduce((sum, each) => sum + snapshotVolumeBytes(each.volume), 0);
    if (needed <= available) continue;
    throw new PublishError(
      'NO_SPACE',
      `too little free space: snapshots need ${formatBytes(needed)} in pool ${name}, for all that the guest may change, and ${formatBytes(available)} are free`,
      { step: 'space', hint: 'enlarge its volume group' },
    );
  }
}

/** Returns a path in the folder of the volume, so in its pool; replaces the mark of an earlier run. */
function overlayPath(path: string, mark: string): string {
  const name = path.slice(dirname(path).length + 1);
  const stem = name.replace(/\.(qcow2|raw|img)$/, '').replace(/\.vp-[0-9a-f]{8}$/, '');
  return join(dirname(path), `${stem}.${mark}.qcow2`);
}

function unsupported(message: string, hint = HINT): PublishError {
  return new PublishError('DISK_UNSUPPORTED', message, { step: 'inspect', hint });
}
