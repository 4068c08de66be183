// What the XML of pools and volumes says, and the XML that asks for a snapshot volume. Pure.
import type { VolumeXml } from '../ffi/results.ts';
import { parseXml, writeXml, type XmlElement, type XmlOutput } from './xml-tree.ts';

export interface Volume {
  pool: {
    name: string;
    /** `dir`, `fs`, `netfs`, `logical`, `rbd`, `iscsi`… */
    type: string;
    /** Bytes. */
    available: number;
  };
  name: string;
  path: string;
  /** As `qcow2`; `raw` where the pool knows no formats. */
  format: string;
  /** Bytes the guest sees. */
  capacity: number;
}

/** @throws Error where it is not the XML of a volume and its pool. */
export function describeVolume({ pool, name, xml }: VolumeXml): Volume {
  const volume = parseXml(xml);
  const poolElement = parseXml(pool.xml);
  if (volume.name !== 'volume' || poolElement.name !== 'pool')
    throw new Error('<volume> and <pool> expected');
  return {
    pool: {
      name: pool.name,
      type: poolElement.attribute('type') ?? '',
      available: bytesOf(poolElement.find('available')),
    },
    name,
    path: volume.find('target', 'path')?.text() ?? '',
    format: volume.find('target', 'format')?.attribute('type') ?? 'raw',
    capacity: bytesOf(volume.find('capacity')),
  };
}

/** What a snapshot volume takes of its volume group, for a store that never runs full. */
export function snapshotVolumeBytes({ capacity }: Pick<Volume, 'capacity'>): number {
  return Math.ceil((capacity * 1.02) / MIB) * MIB + EXCEPTIONS;
}

/**
 * NOTE: LVM drops a snapshot whose store has run full, and the image with it. So the store has room
 * for every block of the origin, and for the table of which are there; LVM makes it smaller where
 * that is more than can be of use. libvirt passes a store on as it should only where capacity and
 * allocation are the same (lvcreate -L … -s, and no --virtualsize).
 */
export function volumeSnapshotXml(origin: Volume, name: string): string {
  const size = String(snapshotVolumeBytes(origin));
  return writeXml(
    element('volume', {}, [
      element('name', {}, [], name),
      element('capacity', { unit: 'bytes' }, [], size),
      element('allocation', { unit: 'bytes' }, [], size),
      element('backingStore', {}, [element('path', {}, [], origin.path)]),
    ]),
  );
}

/**
 * A snapshot of the domain's disks that are given an overlay (a path). All others must be named as
 * left out: libvirt takes what is not named too.
 */
export function overlaySnapshotXml(
  name: string,
  description: string,
  disks: readonly { target: string; overlay: string | null }[],
): string {
  return writeXml(
    element('domainsnapshot', {}, [
      element('name', {}, [], name),
      element('description', {}, [], description),
      element('memory', { snapshot: 'no' }, []),
      element(
        'disks',
        {},
        disks.map(({ target, overlay }) =>
          overlay === null
            ? element('disk', { name: target, snapshot: 'no' }, [])
            : element('disk', { name: target, snapshot: 'external', type: 'file' }, [
                element('driver', { type: 'qcow2' }, []),
                element('source', { file: overlay }, []),
              ]),
        ),
      ),
    ]),
  );
}

const MIB = 1024 * 1024;
const EXCEPTIONS = 8 * MIB;

function element(
  name: string,
  attributes: Record<string, string>,
  children: readonly XmlOutput[],
  text = '',
): XmlOutput {
  return { name, attributes, children, text };
}

/** libvirt writes bytes here. */
function bytesOf(size: XmlElement | undefined): number {
  return Number(size?.text() || '0');
}
