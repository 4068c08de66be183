// Which disks of a domain are taken, and which ones cannot be.
import { PublishError } from '../core/errors.ts';
import type { DiskDescription, DomainDescription } from '../libvirt/xml/domain-xml.ts';
import { inRootOrder } from './root-disk.ts';

/** A disk that can be taken: the source is a file, a block device, or the words for what is `remote`. */
export interface LocalDisk extends DiskDescription {
  source: string;
  format: string;
}

/** `root`: the root disk alone; `all`: every disk; else those with these targets. */
export type DiskSelection = 'root' | 'all' | readonly string[];

/** The root disk first. */
export type ChosenDisks = readonly [LocalDisk, ...LocalDisk[]];

/**
 * The disks to take, in the order of `inRootOrder`. The first of them is the root disk of the image.
 * @throws PublishError DISK_UNSUPPORTED with the reason, and what could be taken in its place.
 */
export function chooseDisks(domain: DomainDescription, wish: DiskSelection): ChosenDisks {
  const [root, ...others] = inRootOrder(wishedFor(domain, wish), (disk) => disk);
  if (!root) throw unsupported(`domain ${domain.name} has no disk to take`);
  const disks = wish === 'root' ? [root] : [root, ...others];
  const obstacles = disks.flatMap((disk) => {
    const obstacle =
      obstacleOf(disk) ?? (disks.length > 1 ? obstacleBeside(disk, wish) : undefined);
    return obstacle === undefined
      ? []
      : [`disk ${disk.target} of domain ${domain.name} ${obstacle}`];
  });
  if (obstacles.length > 0) throw unsupported(obstacles.join('; ') + cure(domain, wish));
  return disks.map(named) as unknown as ChosenDisks;
}

function named(disk: DiskDescription): DiskDescription {
  return disk.remote === null ? disk : { ...disk, source: disk.remote.label };
}

/** The disk with this target; without one the root disk. @throws as chooseDisks */
export function chooseDisk(domain: DomainDescription, target: string | undefined): LocalDisk {
  return chooseDisks(domain, target === undefined ? 'root' : [target])[0];
}

function wishedFor({ name, disks }: DomainDescription, wish: DiskSelection): DiskDescription[] {
  if (wish === 'root') return disks.filter(({ device }) => device === 'disk');
  if (wish === 'all') return disks.filter((disk) => !isRemovable(disk));
  const known = disks.map(({ target }) => target);
  const missing = wish.find((target) => !known.includes(target));
  if (missing !== undefined) {
    const targets = known.join(', ') || 'none';
    throw unsupported(
      `domain ${name} has no disk ${missing}; it has: ${targets}. Name one with --disk`,
    );
  }
  return disks.filter(({ target }) => wish.includes(target));
}

function isRemovable({ device }: DiskDescription): boolean {
  return device === 'cdrom' || device === 'floppy';
}

function obstacleOf(disk: DiskDescription): string | undefined {
  if (isRemovable(disk)) {
    return `is a ${disk.device}, which holds no data of the guest; name a disk with --disk`;
  }
  if (disk.device === 'lun') {
    return 'is a lun: the guest talks to the device itself, past QEMU, and nobody else knows when it is still';
  }
  const inSource = obstacleInSource(disk);
  if (inSource !== undefined) return inSource;
  if (disk.transient)
    return 'is transient: libvirt throws its changes away, so there is no state to take';
  if (disk.remote !== null) return NO_MIRROR[disk.remote.protocol];
  if (disk.volume !== null && disk.source === null) {
    return `is volume ${disk.volume.volume} of pool ${disk.volume.pool}; name its file`;
  }
  if (!disk.source) return 'has no source: the drive is empty';
  return undefined;
}

/** Why the bytes of the disk's files, or of one below them, are not those that the guest sees. */
export function obstacleInSource({
  encrypted,
  obstacle,
  backingChain,
}: DiskDescription): string | undefined {
  if (encrypted) {
    return 'is encrypted, and its key does not leave libvirt; publish from inside the guest instead';
  }
  if (obstacle !== null) return obstacle;
  const below = backingChain.find((layer) => layer.encrypted || layer.obstacle !== null);
  if (!below) return undefined;
  return `has a layer (${below.path ?? below.type}) that ${below.obstacle ?? 'is encrypted'}`;
}

/** Of sources outside this host, those that QEMU cannot mirror either. */
const NO_MIRROR: Readonly<Record<string, string | undefined>> = {
  vhostuser:
    'is served to the guest past QEMU (vhost-user), which could mirror it; publish it from its server',
  vhostvdpa:
    'is served to the guest past QEMU (vDPA), which could mirror it; publish it from its device',
  dir: 'is a directory that QEMU shows as a FAT disk; publish the directory itself',
};

/** What stands in the way of a disk only where others are taken with it. */
function obstacleBeside({ shareable, readonly }: DiskDescription, wish: DiskSelection) {
  if (shareable) return 'is shareable: another guest may write to it at the point in time';
  if (readonly && wish === 'all') {
    return 'is read-only: the guest keeps nothing on it, and whether it belongs to the image is yours to say';
  }
  return undefined;
}

/** What to ask for in place of all. */
function cure({ disks }: DomainDescription, wish: DiskSelection): string {
  if (wish !== 'all') return '';
  const takable = inRootOrder(disks, (disk) => disk).filter(
    (disk) => obstacleOf(disk) === undefined && obstacleBeside(disk, wish) === undefined,
  );
  if (takable.length === 0) return '';
  const flags = takable.map(({ target }) => `--disk ${target}`).join(' ');
  return `. Name the disks to take in place of --all-disks: ${flags}`;
}

function unsupported(message: string): PublishError {
  return new PublishError('DISK_UNSUPPORTED', message, { step: 'inspect' });
}
