// Disks outside this host, and volumes of storage pools, whose path libvirt knows.
import { messageOf, PublishError } from '../core/errors.ts';
import type { Connection } from '../libvirt/connection.ts';
import type { Domain } from '../libvirt/domain.ts';
import { isLibvirtError } from '../libvirt/errors.ts';
import type { ChainLayer, DiskDescription, DomainDescription } from '../libvirt/xml/domain-xml.ts';
import { info } from '../qemu/qemu-img.ts';
import { type DiskFacts, outsideFacts, type ReadOptions } from './chain/backing-chain.ts';
import type { LocalDisk } from './choose-disk.ts';

/**
 * Returns the domain with the path of each pool volume as the source of its disk, or as the path of its
 * layer. A volume without a path, or in a pool that is not started, counts as outside this host.
 */
export async function placeVolumes(
  connection: Pick<Connection, 'lookupVolume'>,
  description: DomainDescription,
): Promise<DomainDescription> {
  const disks = await Promise.all(
    description.disks.map(async (disk) => {
      const placed = await placeVolume(connection, disk);
      const layers = disk.backingChain.map((layer) => placeLayer(connection, layer));
      return { ...placed, backingChain: await Promise.all(layers) };
    }),
  );
  return { ...description, disks };
}

async function placeLayer(
  connection: Pick<Connection, 'lookupVolume'>,
  layer: ChainLayer,
): Promise<ChainLayer> {
  if (layer.volume === null || layer.volume.direct) return layer;
  try {
    const { type, path } = await connection.lookupVolume(layer.volume.pool, layer.volume.volume);
    return type === 'other' ? layer : { ...layer, path };
  } catch (error) {
    if (!isLibvirtError(error)) throw error;
    return layer;
  }
}

async function placeVolume(
  connection: Pick<Connection, 'lookupVolume'>,
  disk: DiskDescription,
): Promise<DiskDescription> {
  if (disk.volume === null) return disk;
  const { pool, volume, direct } = disk.volume;
  const outside = (why: string, protocol = 'volume'): DiskDescription => {
    const label = `volume ${volume} of pool ${pool} (${why})`;
    return { ...disk, remote: { label, protocol, node: null } };
  };
  // QEMU accesses the storage directly, not through the pool's device.
  if (direct) return outside('direct');
  try {
    const { type, path } = await connection.lookupVolume(pool, volume);
    if (type === 'other') return outside('neither a file nor a block device');
    return { ...disk, type, source: path };
  } catch (error) {
    if (!isLibvirtError(error)) throw error;
    return outside(messageOf(error), UNKNOWN_VOLUME);
  }
}

/** The protocol of a volume whose path libvirt does not know. */
export const UNKNOWN_VOLUME = 'unknown volume';

/**
 * Returns the facts of a disk outside this host; only its size if QEMU has it open, since some servers
 * accept no second reader.
 *
 * NOTE: `qemu-nbd` without `--shared` lets a second client wait, and without `--persistent` it ends with
 * its first: only the guest's QEMU connects while the domain runs.
 * @throws PublishError DISK_UNSUPPORTED if the domain is off and only its QEMU can read the disk
 */
export async function readRemoteFacts(
  domain: Pick<Domain, 'getBlockInfo'>,
  disk: LocalDisk,
  { shared, opened: _, ...limits }: ReadOptions,
): Promise<DiskFacts> {
  if (shared) {
    const { capacity } = await domain.getBlockInfo(disk.target);
    return outsideFacts(capacity);
  }
  const { label, node } = disk.remote ?? { label: disk.source, node: null };
  if (node === null) {
    throw unsupported(disk, `is on ${label}, which only the guest's QEMU can open`);
  }
  const { virtualSize, backingFile, dataFile } = await info({
    ...{ path: label, format: disk.format, node },
    ...limits,
  });
  if (backingFile !== null || dataFile !== null) {
    const other = backingFile ?? dataFile;
    const what = `is on ${label}, and also reads ${other}`;
    throw unsupported(disk, what);
  }
  return outsideFacts(virtualSize);
}

function unsupported({ target }: LocalDisk, what: string): PublishError {
  return new PublishError('DISK_UNSUPPORTED', `disk ${target} ${what}`, {
    step: 'inspect',
    hint: 'start the domain, then use --mode live',
  });
}
