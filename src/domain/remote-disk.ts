// Disks that are in no file or block device of this host, and volumes, whose place libvirt knows.
import { messageOf, PublishError } from '../core/errors.ts';
import type { Connection } from '../libvirt/connection.ts';
import type { Domain } from '../libvirt/domain.ts';
import { isLibvirtError } from '../libvirt/errors.ts';
import type { ChainLayer, DiskDescription, DomainDescription } from '../libvirt/xml/domain-xml.ts';
import { info } from '../qemu/qemu-img.ts';
import { type DiskFacts, outsideFacts, type ReadOptions } from './chain/backing-chain.ts';
import type { LocalDisk } from './choose-disk.ts';

/**
 * The domain with the file or block device behind each volume of a pool as the disk's source, or as
 * the path of the layer. A volume that has none, or whose pool is not started, counts as outside
 * this host.
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
  // QEMU speaks to the storage itself, past the device that the pool has for it.
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

/** The protocol of a volume that libvirt cannot tell the place of. */
export const UNKNOWN_VOLUME = 'unknown volume';

/**
 * What can be known of a disk outside this host: its size alone where QEMU has it open, since not
 * every server lets in a second reader.
 *
 * NOTE: `qemu-nbd` without `--shared` keeps a second client waiting, and without `--persistent` it
 * ends with its first: nobody but the guest's QEMU connects while the domain runs.
 * @throws PublishError DISK_UNSUPPORTED where the domain is off and nobody else can read it.
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
    throw unsupported(
      disk,
      `is on ${label}, which only QEMU opens, for the guest; start the domain, and take it live`,
    );
  }
  const { virtualSize, backingFile, dataFile } = await info({
    ...{ path: label, format: disk.format, node },
    ...limits,
  });
  if (backingFile !== null || dataFile !== null) {
    const other = backingFile ?? dataFile;
    const what = `is on ${label}, and reads ${other} as well; start the domain, and take it live`;
    throw unsupported(disk, what);
  }
  return outsideFacts(virtualSize);
}

function unsupported({ target }: LocalDisk, what: string): PublishError {
  return new PublishError('DISK_UNSUPPORTED', `disk ${target} ${what}`, { step: 'inspect' });
}
