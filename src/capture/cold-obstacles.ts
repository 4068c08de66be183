// What makes a managed save too dangerous: that the guest might not come back from it. Pure.
import { PublishError } from '../errors.ts';
import type { Inspection } from './inspect.ts';

/**
 * NOTE: a server that ends with its last client, as qemu-nbd does unless told otherwise, would not
 * be there any more when the saved guest is to be started again. And libvirt (9.0) writes a tab in a
 * path into the save as it is, reads a space back, and finds no such file.
 * @throws PublishError DISK_UNSUPPORTED; `noLive` is why live is not possible either.
 */
export function refuseDangerousSave(
  { name, disks, description }: Inspection,
  noLive: string | undefined,
): void {
  const outside = disks.find(({ facts }) => facts.outside)?.disk;
  const obstacle = outside
    ? `disk ${outside.target} of domain ${name} is not all on this host (${outside.source}), and a guest that is saved might not find it again`
    : description.disks.some(({ source }) => /[\t\n]/.test(source ?? ''))
      ? `domain ${name} has a disk with a tab or a line break in its path, where libvirt reads a space back from a managed save, so a guest that is saved would not find it again`
      : undefined;
  if (obstacle === undefined) return;
  const cure = noLive === undefined ? 'use --mode live' : `live is not possible either: ${noLive}`;
  throw new PublishError('DISK_UNSUPPORTED', `${obstacle}; ${cure}`, { step: 'inspect' });
}
