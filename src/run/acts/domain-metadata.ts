// Snapshot and checkpoint metadata of a domain: read before an undefine, defined again if it was lost.
import { readFile } from 'node:fs/promises';
import type { Domain, NamedXml, SnapshotXml } from '../../libvirt/domain.ts';
import {
  VIR_DOMAIN_CHECKPOINT_CREATE_REDEFINE,
  VIR_DOMAIN_SNAPSHOT_CREATE_CURRENT,
  VIR_DOMAIN_SNAPSHOT_CREATE_REDEFINE,
} from '../../libvirt/ffi/constants.ts';
import { writeSecret } from '../journal/run-folder.ts';

export interface DomainMetadata {
  snapshots: SnapshotXml[];
  checkpoints: NamedXml[];
}

/** Reads the metadata, and writes it to `path` with mode 0600: it holds the domain's passwords. */
export async function saveMetadata(domain: Domain, path: string): Promise<DomainMetadata> {
  const metadata: DomainMetadata = {
    snapshots: await domain.listSnapshots(),
    checkpoints: await domain.listCheckpoints(),
  };
  await writeSecret(path, JSON.stringify(metadata));
  return metadata;
}

/** Reads what `saveMetadata` wrote. @throws the file system's error; SyntaxError if it is truncated. */
export async function readMetadata(path: string): Promise<DomainMetadata> {
  return JSON.parse(await readFile(path, 'utf8')) as DomainMetadata;
}

/**
 * Defines the saved metadata again that libvirt no longer has.
 *
 * NOTE: an undefine of a running domain keeps the metadata (libvirt 9.0). It is lost when the guest
 * is switched off before the domain is defined again, since the domain vanishes then.
 * Snapshots come first: libvirt defines none in a domain that has a checkpoint.
 */
export async function restoreMetadata(domain: Domain, saved: DomainMetadata): Promise<void> {
  const snapshots = await domain.listSnapshots();
  for (const { xml, isCurrent } of missing(saved.snapshots, snapshots)) {
    const current = isCurrent ? VIR_DOMAIN_SNAPSHOT_CREATE_CURRENT : 0;
    await domain.snapshotCreateXML(xml, VIR_DOMAIN_SNAPSHOT_CREATE_REDEFINE | current);
  }
  const checkpoints = await domain.listCheckpoints();
  for (const { xml } of missing(saved.checkpoints, checkpoints)) {
    await domain.checkpointCreateXML(xml, VIR_DOMAIN_CHECKPOINT_CREATE_REDEFINE);
  }
}

function missing<T extends NamedXml>(saved: readonly T[], present: readonly NamedXml[]): T[] {
  const names = new Set(present.map(({ name }) => name));
  return saved.filter(({ name }) => !names.has(name));
}
