// Reads the XML of one disk, with its backing chain and its mirror. Pure.
import {
  describeRemote,
  describeVolume,
  type RemoteSource,
  type VolumeSource,
} from './remote-source-xml.ts';
import { describeObstacle } from './source-obstacle-xml.ts';
import type { XmlElement } from './xml-tree.ts';

export interface DiskDescription {
  /** `vda`, for example; unique in the domain. */
  target: string;
  bus: string;
  device: 'disk' | 'cdrom' | 'floppy' | 'lun';
  /** `file`, `block`, `network`, `volume`, `dir`, `nvme`, `vhostuser`… */
  type: string;
  /** Path of the file or block device; null for all other types, and for an empty drive. */
  source: string | null;
  /** The source of a disk that is not a file or block device of this host; null for all others. */
  remote: RemoteSource | null;
  /** The volume of a pool that is the source; null for all others. */
  volume: VolumeSource | null;
  format: string | null;
  readonly: boolean;
  shareable: boolean;
  transient: boolean;
  encrypted: boolean;
  /** Why the bytes at `source` are not those that the guest sees; null if they are. */
  obstacle: string | null;
  /** The kind of seed, for messages; null for other disks. The XML alone never has it: see `markSeeds`. */
  seed: string | null;
  /** `<boot order=…/>` of the disk itself; null if it has none. */
  bootOrder: number | null;
  alias: string | null;
  /** The layers below the source, nearest first. Only live XML always has them. */
  backingChain: ChainLayer[];
  /** Whether the XML has the chain to its end; false for most stored XML. */
  backingChainKnown: boolean;
  /** libvirt's index of the source, as in `vda[1]`; live XML only. */
  index: number | null;
  mirror: Mirror | null;
}

/** The paths of a disk's layers, the active one first; null for a layer that is no local path. */
export function layerPaths({
  source,
  backingChain,
}: Pick<DiskDescription, 'source' | 'backingChain'>): (string | null)[] {
  return [source, ...backingChain.map(({ path }) => path)];
}

export interface ChainLayer {
  type: string;
  /** Path of the file or block device; null for all other types. */
  path: string | null;
  format: string | null;
  index: number | null;
  encrypted: boolean;
  /** The volume of a pool that is the layer; null for all others. */
  volume: VolumeSource | null;
  /** Why the bytes at `path` are not those that QEMU reads; null if they are. */
  obstacle: string | null;
}

/** The target of a copy job. `ready` is `yes` when it is in sync, `no` before. */
export interface Mirror {
  /** `copy` or `active-commit`. */
  job: string | null;
  ready: 'yes' | 'abort' | 'pivot' | 'no';
  path: string | null;
}

const DEVICES = ['disk', 'cdrom', 'floppy', 'lun'] as const;
const READY = ['yes', 'abort', 'pivot'] as const;

export function describeDisk(disk: XmlElement): DiskDescription {
  const target = disk.find('target');
  const order = disk.find('boot')?.attribute('order') ?? null;
  const device = disk.attribute('device');
  const chain = describeChain(disk);
  return {
    target: target?.attribute('dev') ?? '',
    bus: target?.attribute('bus') ?? '',
    device: DEVICES.find((known) => known === device) ?? 'disk',
    type: disk.attribute('type') ?? 'file',
    source: pathOf(disk),
    remote: describeRemote(disk),
    volume: describeVolume(disk),
    format: disk.find('driver')?.attribute('type') ?? null,
    readonly: disk.find('readonly') !== undefined,
    shareable: disk.find('shareable') !== undefined,
    transient: disk.find('transient') !== undefined,
    encrypted: isEncrypted(disk),
    obstacle: describeObstacle(disk),
    seed: null,
    bootOrder: order === null ? null : Number.parseInt(order, 10),
    alias: disk.find('alias')?.attribute('name') ?? null,
    backingChain: chain.layers,
    backingChainKnown: chain.ended,
    index: indexOf(disk.find('source')),
    mirror: describeMirror(disk.find('mirror')),
  };
}

// An empty <backingStore/> means "no layer below"; without the element the chain is unknown.
function describeChain(disk: XmlElement): { layers: ChainLayer[]; ended: boolean } {
  const layers: ChainLayer[] = [];
  let store = disk.find('backingStore');
  while (store !== undefined && store.attribute('type') !== null) {
    layers.push({
      type: store.attribute('type') ?? '',
      path: pathOf(store),
      format: store.find('format')?.attribute('type') ?? null,
      index: indexOf(store) ?? indexOf(store.find('source')),
      encrypted: isEncrypted(store),
      volume: describeVolume(store),
      obstacle: describeObstacle(store),
    });
    store = store.find('backingStore');
  }
  return { layers, ended: store !== undefined };
}

function describeMirror(mirror: XmlElement | undefined): Mirror | null {
  if (mirror === undefined) return null;
  const ready = mirror.attribute('ready');
  return {
    job: mirror.attribute('job'),
    ready: READY.find((known) => known === ready) ?? 'no',
    path: pathOf(mirror) ?? mirror.attribute('file'),
  };
}

/** Returns the local path of a disk, a layer or a mirror: all have the same `<source>`. */
function pathOf(element: XmlElement): string | null {
  const source = element.find('source');
  const type = element.attribute('type') ?? 'file';
  if (type === 'file') return source?.attribute('file') ?? null;
  return type === 'block' ? (source?.attribute('dev') ?? null) : null;
}

function isEncrypted(element: XmlElement): boolean {
  return (
    element.find('encryption') !== undefined || element.find('source', 'encryption') !== undefined
  );
}

function indexOf(element: XmlElement | undefined): number | null {
  const index = element?.attribute('index') ?? null;
  return index === null ? null : Number.parseInt(index, 10);
}
