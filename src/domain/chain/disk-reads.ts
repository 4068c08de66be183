// Finds the files that a disk of a domain reads, and why they may be unknown.
import { shellQuote } from '../../core/shell-quote.ts';
import { type DiskDescription, layerPaths } from '../../libvirt/xml/domain-xml.ts';
import { UNKNOWN_VOLUME } from '../remote-disk.ts';
import { followHeaders } from './backing-header.ts';

/** What is unreadable, and how to make it readable. */
export interface Unknown {
  what: string;
  hint: string;
}

export interface DiskReads {
  paths: string[];
  /** Null if all files are known. */
  unknown: Unknown | null;
}

/** Returns the files of the disk by its XML and by the headers of its files. */
export async function readsOf(disk: DiskDescription): Promise<DiskReads> {
  const { source } = disk;
  const named = layerPaths(disk).filter((path) => path !== null);
  const below = await Promise.all(named.map(followHeaders));
  const paths = below.flatMap((each) => each.paths);
  const unread = below.find((each) => each.unread !== null)?.unread;
  if (source === null) return { paths, unknown: unplaced(disk) };
  if (unread === undefined || unread === null || hasNoneBelow(disk))
    return { paths, unknown: null };
  const hint = 'mount, activate or make readable its storage, or undefine that domain';
  return { paths, unknown: { what: unread, hint } };
}

/** Whether the XML has the complete chain, or the format supports no backing file. */
function hasNoneBelow({ format, backingChainKnown }: DiskDescription): boolean {
  return backingChainKnown || format === 'raw' || format === null;
}

/** A volume with unknown path may be any file of this host, unless QEMU accesses its server directly. */
function unplaced({ volume, remote }: DiskDescription): Unknown | null {
  if (volume === null || remote?.protocol !== UNKNOWN_VOLUME) return null;
  const hint = `start the pool (virsh pool-start ${shellQuote(volume.pool)}), or undefine that domain`;
  return { what: remote.label, hint };
}
