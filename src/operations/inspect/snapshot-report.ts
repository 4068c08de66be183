// Summarizes libvirt's XML of a snapshot. Pure.
import { parseSnapshotXml } from '../../libvirt/xml/snapshot-xml.ts';
import type { SnapshotReport } from './inspect-types.ts';

export function reportSnapshot(xml: string): SnapshotReport {
  const { name, createdAt, memory, disks } = parseSnapshotXml(xml);
  const taken = disks.filter(({ kind }) => kind !== 'no');
  const external = taken.filter(({ kind }) => kind !== 'internal').length;
  // libvirt lists no disks for the oldest internal snapshots.
  const kind = external === 0 ? 'internal' : external === taken.length ? 'external' : 'mixed';
  return {
    ...{ name, kind, memory: memory !== 'no', disks: taken.map((disk) => disk.name) },
    createdAt: createdAt === null ? null : new Date(createdAt * 1000).toISOString(),
  };
}
