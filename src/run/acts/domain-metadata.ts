// Snapshot and checkpoint metadata: read before an undefine, put back where it got lost.
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

/** Reads the metadata, and writes it to `path`, readable by nobody else: it holds the domain's passwords. */
export async function saveMetadata(domain: Domain, path: string): Promise<DomainMetadata> {
  const metadata: DomainMetadata = {
    snapshots: await domain.listSnapshots(),
    checkpoints: await domain.listCheckpoints(),
  };
  await writeSecret(path, JSON.stringify(metadata));
  return metadata;
}

/** What `saveMetadata` wrote. @throws the file system's error; SyntaxError if it is not whole. */
export async function readMetadata(path: string): Promise<DomainMetadata> {
  return JSON.parse(await readFile(path, 'utf8')) as DomainMetadata;
}

/**
 * Defines again what of the saved metadata libvirt no longer knows.
 *
 * NOTE: an undefine of a running domain leaves the metadata alone (libvirt 9.0); they are lost when
 * the guest is switched off before it is defined again, for then the domain vanishes with them.
 * Snapshots come first: where there is a checkpoint, libvirt defines none.
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
