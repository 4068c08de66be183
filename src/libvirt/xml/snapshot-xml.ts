// Reads the XML of a libvirt snapshot into plain values. Pure.
import { parseXml } from './xml-tree.ts';

export interface SnapshotDescription {
  name: string;
  /** Free text of the client that made it; null if there is none. */
  description: string | null;
  /** Seconds since 1970; null if the XML does not have it. */
  createdAt: number | null;
  /** State of the domain at that time: `running`, `shutoff`, …; `disk-snapshot` without memory. */
  state: string | null;
  /** `no`: only disks; `internal`, `external`: with the guest's memory. */
  memory: string;
  disks: SnapshotDisk[];
  /** The domain's XML at that time; null if the snapshot has none. Holds passwords. */
  domainXml: string | null;
}

export interface SnapshotDisk {
  /** Target, such as `vda`; libvirt also accepts the path of the source. */
  name: string;
  /** `no`: not part of the snapshot. */
  kind: 'no' | 'internal' | 'external' | 'manual';
  /** The overlay that an external snapshot made. */
  source: string | null;
}

const KINDS = ['no', 'internal', 'external', 'manual'] as const;

/** @throws Error if it is not the XML of a snapshot; the message does not quote it */
export function parseSnapshotXml(xml: string): SnapshotDescription {
  const snapshot = parseXml(xml);
  if (snapshot.name !== 'domainsnapshot') throw new Error('<domainsnapshot> expected');
  const createdAt = Number(snapshot.find('creationTime')?.text() || Number.NaN);
  return {
    name: snapshot.find('name')?.text() ?? '',
    description: snapshot.find('description')?.text() ?? null,
    createdAt: Number.isFinite(createdAt) ? createdAt : null,
    state: snapshot.find('state')?.text() ?? null,
    memory: snapshot.find('memory')?.attribute('snapshot') ?? 'no',
    disks: (snapshot.find('disks')?.children('disk') ?? []).map((disk) => {
      const source = disk.find('source');
      return {
        name: disk.attribute('name') ?? '',
        kind: KINDS.find((kind) => kind === disk.attribute('snapshot')) ?? 'no',
        source: source?.attribute('file') ?? source?.attribute('dev') ?? null,
      };
    }),
    domainXml: snapshot.find('domain')?.toXml() ?? null,
  };
}
