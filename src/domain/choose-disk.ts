// Chooses the disks of a domain to take, and rejects those that cannot be taken.
import { PublishError } from '../core/errors.ts';
import type { DiskDescription, DomainDescription } from '../libvirt/xml/domain-xml.ts';
import { inRootOrder } from './root-disk.ts';

/** A disk that can be taken: `source` is a file, a block device, or the label of a `remote` source. */
export interface LocalDisk extends DiskDescription {
  source: string;
  format: string;
}

/** `root`: the root disk alone; `all`: every disk; else those with these targets. */
export type DiskSelection = 'root' | 'all' | readonly string[];

/** The root disk first. */
export type ChosenDisks = readonly [LocalDisk, ...LocalDisk[]];

/**
 * Returns the disks to take, in the order of `inRootOrder`; the first is the root disk of the image.
 * @throws PublishError DISK_UNSUPPORTED with the reasons; the hint names disks that can be taken
 */
export function chooseDisks(domain: DomainDescription, requested: DiskSelection): ChosenDisks {
  const [root, ...others] = inRootOrder(requestedDisks(domain, requested), (disk) => disk);
  if (!root) throw unsupported(`domain ${domain.name} has no disk to take`);
  const disks = requested === 'root' ? [root] : [root, ...others];
  const obstacles = disks.flatMap((disk) => {
    const obstacle =
      obstacleOf(disk) ?? (disks.length > 1 ? obstacleBeside(disk, requested) : undefined);
    return obstacle === undefined
      ? []
      : [`disk ${disk.target} of domain ${domain.name} ${obstacle}`];
  });
  if (obstacles.length > 0)
    throw unsupported(obstacles.join('; '), takableDisks(domain, requested));
  return disks.map(named) as unknown as ChosenDisks;
}

function named(disk: DiskDescription): DiskDescription {
  return disk.remote === null ? disk : { ...disk, source: disk.remote.label };
}

/** Returns the disk with this target; the root disk without one. @throws like chooseDisks */
export function chooseDisk(domain: DomainDescription, target: string | undefined): LocalDisk {
  return chooseDisks(domain, target === undefined ? 'root' : [target])[0];
}

function requestedDisks(
  { name, disks }: DomainDescription,
  requested: DiskSelection,
): DiskDescription[] {
  if (requested === 'root') return disks.filter(({ device }) => device === 'disk');
  if (requested === 'all') return disks.filter((disk) => !isRemovable(disk));
  const known = disks.map(({ target }) => target);
  const missing = requested.find((target) => !known.includes(target));
  if (missing !== undefined) {
    const targets = known.join(', ') || 'none';
    throw unsupported(
      `domain ${name} has no disk ${missing}; it has: ${targets}`,
      'choose one of these with --disk',
    );
  }
  return disks.filter(({ target }) => requested.includes(target));
}

function isRemovable({ device }: DiskDescription): boolean {
  return device === 'cdrom' || device === 'floppy';
}

function obstacleOf(disk: DiskDescription): string | undefined {
  if (isRemovable(disk)) {
    return `is a ${disk.device}, which has no data of the guest`;
  }
  if (disk.device === 'lun') {
    return 'is a lun: the guest writes to the device directly, without QEMU, so it cannot be made to hold still';
  }
  const inSource = obstacleInSource(disk);
  if (inSource !== undefined) return inSource;
  if (disk.transient)
    return 'is transient: libvirt discards its changes, so there is no state to take';
  if (disk.remote !== null) return NO_MIRROR[disk.remote.protocol];
  if (disk.volume !== null && disk.source === null) {
    return `is volume ${disk.volume.volume} of pool ${disk.volume.pool}, whose file is unknown`;
  }
  if (!disk.source) return 'has no source: the drive is empty';
  return undefined;
}

/** Returns why the bytes of the disk's file, or of a layer below it, are not those that the guest sees. */
export function obstacleInSource({
  encrypted,
  obstacle,
  backingChain,
}: DiskDescription): string | undefined {
  if (encrypted) {
    return 'is encrypted, and libvirt does not release its key';
  }
  if (obstacle !== null) return obstacle;
  const below = backingChain.find((layer) => layer.encrypted || layer.obstacle !== null);
  if (!below) return undefined;
  return `has a layer (${below.path ?? below.type}) that ${below.obstacle ?? 'is encrypted'}`;
}

/** Sources outside this host that QEMU cannot mirror either. */
const NO_MIRROR: Readonly<Record<string, string | undefined>> = {
  vhostuser: 'is served to the guest by vhost-user, without QEMU, so it cannot be mirrored',
  vhostvdpa: 'is served to the guest by vDPA, without QEMU, so it cannot be mirrored',
  dir: 'is a directory that QEMU presents as a FAT disk',
};

/** Returns the obstacle of a disk that can be taken alone, but not with others. */
function obstacleBeside({ shareable, readonly }: DiskDescription, requested: DiskSelection) {
  if (shareable) return 'is shareable: another guest may write to it at the point in time';
  if (readonly && requested === 'all') {
    return 'is read-only, so it is part of the image only if it is named';
  }
  return undefined;
}

/** Returns the hint that names the disks to request instead of all; undefined if it does not apply. */
function takableDisks({ disks }: DomainDescription, requested: DiskSelection): string | undefined {
  if (requested !== 'all') return undefined;
  const takable = inRootOrder(disks, (disk) => disk).filter(
    (disk) => obstacleOf(disk) === undefined && obstacleBeside(disk, requested) === undefined,
  );
  if (takable.length === 0) return undefined;
  const flags = takable.map(({ target }) => `--disk ${target}`).join(' ');
  return `name the disks to take instead of --all-disks: ${flags}`;
}

function unsupported(message: string, hint?: string): PublishError {
  return new PublishError('DISK_UNSUPPORTED', message, {
    step: 'inspect',
    ...(hint === undefined ? {} : { hint }),
  });
}
