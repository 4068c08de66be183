// Holds that the layers and disks which were inspected still are the files that QEMU has open.
import { PublishError } from '../core/errors.ts';
import type { OnEvent } from '../core/events.ts';
import { markLayer } from './chain/layer-mark.ts';
import type { InspectedDisk, Inspection } from './inspect.ts';
import { type DomainOfProcess, readOpenFiles } from './open-files.ts';

/**
 * Before a managed save: the guest comes back from it on what the names of all its disks lead to, so
 * each must lead to what its QEMU has open.
 * @throws PublishError DISK_UNSUPPORTED that names the disk and the file.
 */
export async function assertFilesNotReplaced({
  name,
  uuid,
  description,
}: Pick<Inspection, 'name' | 'uuid' | 'description'>): Promise<void> {
  const opened = await readOpenFiles({ name, uuid });
  if (!opened) return;
  for (const { target, source, backingChain } of description.disks) {
    for (const path of [source, ...backingChain.map((layer) => layer.path)]) {
      if (path === null) continue;
      const now = await markLayer(path).catch(() => null);
      if (now && opened.has(now.identity)) continue;
      throw new PublishError(
        'DISK_UNSUPPORTED',
        `disk ${target} of domain ${name}: ${path} is ${now ? 'not the file that its QEMU has open' : 'gone'}, so a guest that is saved would come back on other data; give the old file its name back, or use --mode live for another disk`,
        { step: 'inspect' },
      );
    }
  }
}

/**
 * Looks again, as late as it matters: every layer of the disks still is the file that was inspected,
 * and the domain's QEMU still has it open. Only the former can be told where `readOpenFiles` cannot.
 * @throws PublishError DISK_UNSUPPORTED that names the layer.
 */
export async function assertLayersOpen(
  domain: DomainOfProcess,
  disks: readonly Pick<InspectedDisk, 'disk' | 'facts'>[],
  onEvent?: OnEvent,
): Promise<void> {
  const opened = await readOpenFiles(domain, onEvent);
  for (const { disk, facts } of disks) {
    for (const { path, identity } of facts.marks) {
      const now = await markLayer(path).catch(() => null);
      if (now?.identity === identity && (opened?.has(identity) ?? true)) continue;
      throw new PublishError(
        'DISK_UNSUPPORTED',
        `disk ${disk.target} of domain ${domain.name}: ${path} is no longer the file that its QEMU has open; somebody replaced it, or changed the disk's chain, just now: look at virt-publish chain show, and publish again`,
        { step: 'inspect', retryable: true },
      );
    }
  }
}
