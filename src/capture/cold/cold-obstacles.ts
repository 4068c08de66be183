// The obstacles to a managed save: reasons why the guest might not start from it. Pure.
import { PublishError } from '../../core/errors.ts';
import type { Inspection } from '../../domain/inspect.ts';
import type { DiskDescription } from '../../libvirt/xml/domain-xml.ts';

/**
 * NOTE: a server that ends with its last client, like qemu-nbd by default, would have ended when the
 * saved guest is started again. A save closes all disks, so disks that are not taken count as well.
 * And libvirt (9.0) writes a tab in a path into the save unescaped, reads a space back, and finds no
 * such file.
 * @throws PublishError DISK_UNSUPPORTED; `noLive` is the reason why live is not possible either.
 */
export function assertSafeToSave(inspection: Inspection, noLive: string | undefined): void {
  const obstacle = obstacleToSave(inspection);
  if (obstacle === undefined) return;
  const isMissing = inspection.missing.length > 0;
  const message = noLive === undefined ? obstacle : `${obstacle}; live is not possible: ${noLive}`;
  const other = noLive === undefined ? 'use --mode live' : 'shut the guest down and run it again';
  const hint = isMissing ? `restore what is missing, or ${other}` : other;
  throw new PublishError('DISK_UNSUPPORTED', message, { step: 'inspect', hint });
}

function obstacleToSave({ name, disks, description, missing }: Inspection): string | undefined {
  const taken = disks.find(({ facts }) => facts.outside)?.disk;
  const outside = taken ?? description.disks.find(isOutside);
  if (outside) {
    return `cannot save domain ${name}: disk ${outside.target} is not completely on this host (${outside.remote?.label ?? outside.source}), and a saved guest might not find it again`;
  }
  if (description.disks.some(({ source }) => /[\t\n]/.test(source ?? ''))) {
    return `cannot save domain ${name}: the path of a disk contains a tab or a line break, which libvirt does not restore from a managed save`;
  }
  if (missing.length > 0) return describeMissing(name, missing);
  const fixed = description.hostdevs.find(({ kind, onRootBus }) => onRootBus && mustGo(kind));
  if (fixed === undefined) return undefined;
  return `cannot save domain ${name}: QEMU cannot save device ${fixed.address}, nor detach it from the root bus of a PCIe machine`;
}

/** Returns the message for a guest that could not start from a managed save. */
export function describeMissing(name: string, missing: readonly string[]): string {
  return `cannot save domain ${name}: it could not start again, since this host lacks ${missing.join(', ')}`;
}

/** Whether QEMU cannot save the state of the device: passed-through PCI (SR-IOV too) and mdev. */
export function mustGo(kind: string): boolean {
  return kind === 'pci' || kind === 'mdev';
}

/** A directory that QEMU presents as a disk, and an NVMe device that QEMU drives, are on this host. */
const OF_THIS_HOST = new Set(['dir', 'nvme']);

function isOutside({ remote, backingChain }: DiskDescription): boolean {
  if (remote !== null) return !OF_THIS_HOST.has(remote.protocol);
  return backingChain.some(({ path }) => path === null);
}
