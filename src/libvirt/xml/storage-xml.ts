// Reads the XML of pools and volumes, and writes the XML of snapshot volumes and overlays. Pure.
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
  /** `qcow2`, for example; `raw` if the pool has no formats. */
  format: string;
  /** Bytes the guest sees. */
  capacity: number;
}

/** @throws Error if it is not the XML of a volume and its pool */
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

/** Returns the bytes of a volume group that a snapshot volume needs so that it never runs full. */
export function snapshotVolumeBytes({ capacity }: Pick<Volume, 'capacity'>): number {
  return Math.ceil((capacity * 1.02) / MIB) * MIB + EXCEPTIONS;
}

/**
 * NOTE: LVM drops a snapshot whose store is full, and the image with it. So the store has space for
 * every block of the origin, and for its exception table; LVM makes it smaller if that is more than
 * it can use. libvirt passes the size of the store on correctly only if capacity and
 * allocation are equal (lvcreate -L … -s, without --virtualsize).
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
 * Returns the XML of a snapshot of the disks that have an overlay (a path). All others must be
 * excluded by name: libvirt includes disks that are not named.
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
