// Reads disk sources that are not a file or block device of this host. Pure.
import { withoutSecrets } from '../../core/secrets.ts';
import type { XmlElement } from './xml-tree.ts';

/** A source that QEMU accesses directly, over a network or without the kernel. */
export interface RemoteSource {
  /** For messages: `nbd://10.0.0.1:10809/web`, `rbd:pool/web`; without secrets. */
  label: string;
  /** The protocol of a network disk, else libvirt's type of the disk, such as `nvme`. */
  protocol: string;
  /**
   * The node of the block layer that qemu-img opens; null if that needs what only libvirt has
   * (a secret, a certificate, a host device), or if the protocol is not supported here.
   */
  node: BlockNode | null;
}

/** Options of one node, in the form of `blockdev-add`. */
export type BlockNode = Readonly<Record<string, unknown>>;

/** A volume of a storage pool, whose path only libvirt knows. */
export interface VolumeSource {
  pool: string;
  volume: string;
  /** QEMU accesses the pool's server directly. */
  direct: boolean;
}

interface Host {
  transport: string;
  name: string;
  port: string | null;
  socket: string | null;
}

const LOCAL = ['file', 'block', 'volume'];
const NBD_PORT = '10809';

/** Returns null for files, block devices and volumes. */
export function describeRemote(disk: XmlElement): RemoteSource | null {
  const type = disk.attribute('type') ?? 'file';
  if (LOCAL.includes(type)) return null;
  const source = disk.find('source');
  if (type !== 'network') return { label: type, protocol: type, node: null };
  const protocol = source?.attribute('protocol') ?? 'unknown';
  const name = source?.attribute('name') ?? '';
  const hosts = (source?.children('host') ?? []).map(describeHost);
  const needsSecret =
    source?.attribute('tls') === 'yes' ||
    [disk, source].some((element) => element?.find('auth') !== undefined);
  return {
    label: withoutSecrets(labelOf(protocol, name, hosts)),
    protocol,
    node: protocol === 'nbd' && !needsSecret ? nbdNode(name, hosts) : null,
  };
}

export function describeVolume(disk: XmlElement): VolumeSource | null {
  if (disk.attribute('type') !== 'volume') return null;
  const source = disk.find('source');
  return {
    pool: source?.attribute('pool') ?? '',
    volume: source?.attribute('volume') ?? '',
    direct: source?.attribute('mode') === 'direct',
  };
}

function describeHost(host: XmlElement): Host {
  return {
    transport: host.attribute('transport') ?? 'tcp',
    name: host.attribute('name') ?? 'localhost',
    port: host.attribute('port'),
    socket: host.attribute('socket'),
  };
}

function labelOf(protocol: string, name: string, [host]: readonly Host[]): string {
  if (!host || protocol === 'rbd') return `${protocol}:${name}`;
  if (host.transport === 'unix') return `${protocol}+unix:${host.socket ?? ''}:${name}`;
  const port = host.port === null ? '' : `:${host.port}`;
  return `${protocol}://${host.name}${port}/${name.replace(/^\//, '')}`;
}

function nbdNode(name: string, [host, ...others]: readonly Host[]): BlockNode | null {
  if (!host || others.length > 0) return null;
  const server =
    host.transport === 'unix'
      ? { type: 'unix', path: host.socket ?? '' }
      : { type: 'inet', host: host.name, port: host.port ?? NBD_PORT };
  return { driver: 'nbd', server, export: name };
}
