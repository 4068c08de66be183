// Compares the disks of a domain with the plan of its volume snapshots.
import { placeVolumes } from '../../domain/remote-disk.ts';
import type { Domain } from '../../libvirt/domain.ts';
import type { Host } from '../../libvirt/host.ts';
import type { DiskDescription, DomainDescription } from '../../libvirt/xml/domain-xml.ts';
import { layerPaths, parseDomainXml } from '../../libvirt/xml/domain-xml.ts';
import { changed } from '../look-again.ts';
import type { VolumePlan } from './volume-plan.ts';

interface Planned {
  host: Host;
  domain: Domain;
  description: DomainDescription;
  volumes: VolumePlan;
}

/** @throws PublishError DOMAIN_BUSY (retryable) if a disk is on another volume than planned */
export function checkVolumes(run: Planned): Promise<void> {
  return compare(run, layerPaths);
}

/**
 * `checkVolumes` after the snapshots: each overlay is directly above the volume that the image names.
 * @throws PublishError DOMAIN_BUSY (retryable) if another client's overlay is in between
 */
export function checkTakenVolumes(run: Planned): Promise<void> {
  const overlays = new Map(run.volumes.volumes.map(({ target, overlay }) => [target, overlay]));
  return compare(run, (disk) => {
    const overlay = overlays.get(disk.target) ?? null;
    return overlay === null ? layerPaths(disk) : [overlay, ...layerPaths(disk)];
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
    const isSame = before && now && expected(before).join('\n') === layerPaths(now).join('\n');
    if (!isSame) throw changed(domain, `disk ${target} is on another volume`);
  }
}
