// What the XML of a libvirt snapshot says, as plain values. Pure.
import { parseXml } from './xml-tree.ts';

export interface SnapshotDescription {
  name: string;
  /** Whatever its maker wrote; null where there is none. */
  description: string | null;
  /** Seconds since 1970; null where it is not told. */
  createdAt: number | null;
  /** Of the domain at that time, as `running`, `shutoff`; `disk-snapshot` where no memory was taken. */
  state: string | null;
  /** `no`: disks alone; `internal`, `external`: with the guest's memory. */
  memory: string;
  disks: SnapshotDisk[];
  /** The domain's definition as it was; null where the snapshot has none. Holds passwords. */
  domainXml: string | null;
}

export interface SnapshotDisk {
  /** Target, as `vda`; libvirt also takes the source's path for it. */
  name: string;
  /** `no`: not part of the snapshot. */
  kind: 'no' | 'internal' | 'external' | 'manual';
  /** The overlay that an external snapshot made. */
  source: string | null;
}

const KINDS = ['no', 'internal', 'external', 'manual'] as const;

/** @throws Error where it is not the XML of a snapshot; the message holds nothing of it. */
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
