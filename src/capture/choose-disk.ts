// Which disk of a domain is taken, and which ones cannot be.
import { PublishError } from '../errors.ts';
import type { DiskDescription, DomainDescription } from '../libvirt/domain-xml.ts';

/** A disk whose data lie in a local file or block device. */
export interface LocalDisk extends DiskDescription {
  source: string;
  format: string;
}

/**
 * The disk with this target; without one the root disk: the first in boot order, else the first
 * disk of the domain that is a disk and no CD-ROM.
 * @throws PublishError DISK_UNSUPPORTED with the reason, and what could be taken in its place.
 */
export function chooseDisk(domain: DomainDescription, target: string | undefined): LocalDisk {
  const disk = target === undefined ? rootDisk(domain) : diskByTarget(domain, target);
  const obstacle = obstacleOf(disk);
  if (obstacle !== undefined) {
    throw unsupported(`disk ${disk.target} of domain ${domain.name} ${obstacle}`);
  }
  return disk as LocalDisk;
}

function rootDisk(domain: DomainDescription): DiskDescription {
  const disks = domain.disks.filter(({ device }) => device === 'disk');
  const inBootOrder = disks
    .filter(({ bootOrder }) => bootOrder !== null)
    .sort((a, b) => Number(a.bootOrder) - Number(b.bootOrder));
  const root = inBootOrder[0] ?? disks[0];
  if (!root) throw unsupported(`domain ${domain.name} has no disk to take`);
  return root;
}

function diskByTarget(domain: DomainDescription, target: string): DiskDescription {
  const disk = domain.disks.find((candidate) => candidate.target === target);
  if (disk) return disk;
  const targets = domain.disks.map((candidate) => candidate.target).join(', ') || 'none';
  throw unsupported(
    `domain ${domain.name} has no disk ${target}; it has: ${targets}. Name one with --disk`,
  );
}

function obstacleOf(disk: DiskDescription): string | undefined {
  if (disk.device !== 'disk') {
    return `is a ${disk.device}, which holds no data of the guest; name a disk with --disk`;
  }
  if (disk.encrypted) {
    return 'is encrypted, and its key does not leave libvirt; publish from inside the guest instead';
  }
  if (disk.transient)
    return 'is transient: libvirt throws its changes away, so there is no state to take';
  if (disk.type !== 'file' && disk.type !== 'block') {
    return `has a source of type ${disk.type}; only file and block sources can be read on this host`;
  }
  if (!disk.source) return 'has no source: the drive is empty';
  return undefined;
}

function unsupported(message: string): PublishError {
  return new PublishError('DISK_UNSUPPORTED', message, { step: 'inspect' });
}
