// Compares the disks of a domain with those that its volume snapshots were planned for.
import { placeVolumes } from '../../domain/remote-disk.ts';
import type { Domain } from '../../libvirt/domain.ts';
import type { Host } from '../../libvirt/host.ts';
import type { DiskDescription, DomainDescription } from '../../libvirt/xml/domain-xml.ts';
import { parseDomainXml } from '../../libvirt/xml/domain-xml.ts';
import { changed, pathsOf } from '../look-again.ts';
import type { VolumePlan } from './volume-plan.ts';

interface Planned {
  host: Host;
  domain: Domain;
  description: DomainDescription;
  volumes: VolumePlan;
}

/** @throws PublishError DOMAIN_BUSY (retryable) if a disk is on another volume than it was planned for. */
export function checkVolumes(run: Planned): Promise<void> {
  return compare(run, pathsOf);
}

/**
 * The same when the snapshots are made: each overlay is right above the volume that the image names.
 * @throws PublishError DOMAIN_BUSY (retryable) if another client's overlay came in between.
 */
export function checkTakenVolumes(run: Planned): Promise<void> {
  const overlays = new Map(run.volumes.volumes.map(({ target, overlay }) => [target, overlay]));
  return compare(run, (disk) => {
    const overlay = overlays.get(disk.target) ?? null;
    return overlay === null ? pathsOf(disk) : [overlay, ...pathsOf(disk)];
  });
}

async function compare(
  { host, domain, description, volumes }: Planned,
  expected: (planned: DiskDescription) => (string | null)[],
): Promise<void> {
  const seen = parseDomainXml(await domain.getXMLDesc(0));
  const { disks } = await placeVolumes(await host.work(), seen);
  for (const { target } of volumes.volumes) {
    const before = description.disks.find((disk) => disk.target === target);
    const now = disks.find((disk) => disk.target === target);
    const isSame = before && now && expected(before).join('\n') === pathsOf(now).join('\n');
    if (!isSame) throw changed(domain, `disk ${target} is on another volume`);
  }
}
