// Checks that the inspected layers and disks are still the files that QEMU has open.
import { PublishError } from '../core/errors.ts';
import type { OnEvent } from '../core/events.ts';
import { layerPaths } from '../libvirt/xml/domain-xml.ts';
import { markLayer } from './chain/layer-mark.ts';
import type { InspectedDisk, Inspection } from './inspect.ts';
import { type DomainOfProcess, readOpenFiles } from './open-files.ts';

/**
 * Checks, before a managed save, that the path of each disk leads to the file that QEMU has open: a
 * start from the save opens the disks by their paths.
 * @throws PublishError DISK_UNSUPPORTED with the disk and the file
 */
export async function assertFilesNotReplaced({
  name,
  uuid,
  description,
}: Pick<Inspection, 'name' | 'uuid' | 'description'>): Promise<void> {
  const opened = await readOpenFiles({ name, uuid });
  if (!opened) return;
  for (const { target, source, backingChain } of description.disks) {
    for (const path of layerPaths({ source, backingChain })) {
      if (path === null) continue;
      const now = await markLayer(path).catch(() => null);
      if (now && opened.has(now.identity)) continue;
      throw new PublishError(
        'DISK_UNSUPPORTED',
        `cannot save domain ${name}: ${path} of disk ${target} is ${now ? 'not the file that its QEMU has open' : 'missing'}, so the guest would start on other data`,
        { step: 'inspect', hint: 'rename the old file back, or use --mode live for another disk' },
      );
    }
  }
}

/**
 * Checks that every layer of the disks is still the inspected file, and that the domain's QEMU has it
 * open; only the former if QEMU's open files are unknown.
 * @throws PublishError DISK_UNSUPPORTED with the layer
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
        `${path} of disk ${disk.target} of domain ${domain.name} is no longer the file that its QEMU has open`,
        {
          step: 'inspect',
          retryable: true,
          hint: `check virt-publish chain show, then run it again: another client replaced the file or changed the chain`,
        },
      );
    }
  }
}
