// What makes a managed save too dangerous: that the guest might not come back from it. Pure.
import { PublishError } from '../../core/errors.ts';
import type { Inspection } from '../../domain/inspect.ts';
import type { DiskDescription } from '../../libvirt/xml/domain-xml.ts';

/**
 * NOTE: a server that ends with its last client, as qemu-nbd does unless told otherwise, would not
 * be there any more when the saved guest is to be started again. A save closes all disks, so those
 * that are not taken count as well. And libvirt (9.0) writes a tab in a path into the save as it is,
 * reads a space back, and finds no such file.
 * @throws PublishError DISK_UNSUPPORTED; `noLive` is why live is not possible either.
 */
export function assertSafeToSave(inspection: Inspection, noLive: string | undefined): void {
  const obstacle = obstacleToSave(inspection);
  if (obstacle === undefined) return;
  const back = inspection.missing.length > 0 ? 'put it back, or ' : '';
  const cure =
    noLive === undefined ? `${back}use --mode live` : `live is not possible either: ${noLive}`;
  throw new PublishError('DISK_UNSUPPORTED', `${obstacle}; ${cure}`, { step: 'inspect' });
}

function obstacleToSave({ name, disks, description, missing }: Inspection): string | undefined {
  const taken = disks.find(({ facts }) => facts.outside)?.disk;
  const outside = taken ?? description.disks.find(isOutside);
  if (outside) {
    return `disk ${outside.target} of domain ${name} is not all on this host (${outside.remote?.label ?? outside.source}), and a guest that is saved might not find it again`;
  }
  if (description.disks.some(({ source }) => /[\t\n]/.test(source ?? ''))) {
    return `domain ${name} has a disk with a tab or a line break in its path, where libvirt reads a space back from a managed save, so a guest that is saved would not find it again`;
  }
  if (missing.length > 0) return goneForStart(name, missing);
  const fixed = description.hostdevs.find(({ kind, onRootBus }) => onRootBus && mustGo(kind));
  if (fixed === undefined) return undefined;
  return `device ${fixed.address} of domain ${name} cannot be saved, and not be detached from the root bus of a PCIe machine`;
}

/** What is missing, and what that means for a guest that is saved. */
export function goneForStart(name: string, missing: readonly string[]): string {
  return `domain ${name} could not be started again from a managed save, since this host lacks ${missing.join(', ')}`;
}

/** Passed-through PCI devices (SR-IOV among them) and mdevs: QEMU cannot save their state. */
export function mustGo(kind: string): boolean {
  return kind === 'pci' || kind === 'mdev';
}

/** A directory that QEMU shows as a disk, and a drive that QEMU itself talks to, are of this host. */
const OF_THIS_HOST = new Set(['dir', 'nvme']);

function isOutside({ remote, backingChain }: DiskDescription): boolean {
  if (remote !== null) return !OF_THIS_HOST.has(remote.protocol);
  return backingChain.some(({ path }) => path === null);
}
