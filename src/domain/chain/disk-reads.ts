// Which files a disk of a domain reads, and why that may not be known.
import { shellQuote } from '../../core/shell-quote.ts';
import type { DiskDescription } from '../../libvirt/xml/domain-xml.ts';
import { UNKNOWN_VOLUME } from '../remote-disk.ts';
import { followHeaders } from './backing-header.ts';

/** What could not be read, and what would make it readable. */
export interface Unknown {
  what: string;
  cure: string;
}

export interface DiskReads {
  paths: string[];
  /** Null where all is known. */
  unknown: Unknown | null;
}

/** What the XML says of the disk, and the headers of its files. */
export async function readsOf(disk: DiskDescription): Promise<DiskReads> {
  const { source, backingChain } = disk;
  const named = [source, ...backingChain.map(({ path }) => path)].filter((path) => path !== null);
  const below = await Promise.all(named.map(followHeaders));
  const paths = below.flatMap((each) => each.paths);
  const unread = below.find((each) => each.unread !== null)?.unread;
  if (source === null) return { paths, unknown: unplaced(disk) };
  if (unread === undefined || unread === null || hasNoneBelow(disk))
    return { paths, unknown: null };
  const cure = 'mount, activate or make readable what it lies on, or undefine that domain';
  return { paths, unknown: { what: unread, cure } };
}

/** QEMU has the chain open, and libvirt tells all of it; or the format knows no backing file. */
function hasNoneBelow({ format, backingChainKnown }: DiskDescription): boolean {
  return backingChainKnown || format === 'raw' || format === null;
}

/** The volume may be any file of this host, unless QEMU speaks to its server itself. */
function unplaced({ volume, remote }: DiskDescription): Unknown | null {
  if (volume === null || remote?.protocol !== UNKNOWN_VOLUME) return null;
  const cure = `start the pool (virsh pool-start ${shellQuote(volume.pool)}), or undefine that domain`;
  return { what: remote.label, cure };
}
