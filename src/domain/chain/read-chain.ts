// Reads the backing chain of a disk with its sizes, as far down as possible.
import type { Config } from '../../config/config.ts';
import { PublishError } from '../../core/errors.ts';
import type { ChainLayer } from '../../core/model.ts';
import type { Connection } from '../../libvirt/connection.ts';
import type { Domain } from '../../libvirt/domain.ts';
import { type DomainDescription, parseDomainXml } from '../../libvirt/xml/domain-xml.ts';
import { chooseDisk, type LocalDisk } from '../choose-disk.ts';
import { readOpenFiles } from '../open-files.ts';
import { placeVolumes } from '../remote-disk.ts';
import { markSeeds } from '../seed-disk.ts';
import { type LayerFacts, type ReadOptions, reportLayer, walkChain } from './backing-chain.ts';
import type { LayerMark } from './layer-mark.ts';

export interface ReadChainOptions {
  connection: Pick<Connection, 'lookupVolume'>;
  /** Target; the root disk if left out. */
  disk: string | undefined;
  config: Pick<Config, 'timeouts'>;
  signal: AbortSignal;
}

/** The chain of one disk. */
export interface ChainReport {
  domain: { name: string; uuid: string; state: string };
  disk: { target: string; bus: string };
  /** The active layer first. */
  layers: readonly ChainLayer[];
  /** Why the chain could not be read further down; null if it is complete. */
  obstacle: string | null;
}

/** A chain with the facts of its domain. */
export interface DiskChain extends ChainReport {
  active: boolean;
  source: LocalDisk;
  description: DomainDescription;
  /** The marks of `layers`. */
  marks: readonly LayerMark[];
}

/** @throws PublishError DISK_UNSUPPORTED if the disk does not exist, or is not on this host */
export async function readDiskChain(domain: Domain, options: ReadChainOptions): Promise<DiskChain> {
  const { state } = await domain.getState();
  const active = await domain.isActive();
  // The live XML of a domain that is off is the stored XML.
  const xml = await domain.getXMLDesc(0);
  const placed = await placeVolumes(options.connection, parseDomainXml(xml));
  const limits = { timeoutMs: options.config.timeouts.requestMs, signal: options.signal };
  const description = options.disk === undefined ? await markSeeds(placed, limits) : placed;
  const source = chooseDisk(description, options.disk);
  const { name, uuid } = domain;
  const opened = active ? await readOpenFiles(domain) : null;
  return {
    domain: { name, uuid, state },
    disk: { target: source.target, bus: source.bus },
    ...(await readLayers(source, { ...options, shared: active, opened })),
    ...{ active, source, description },
  };
}

/** Returns the readable layers, also if a layer further down is unreadable. */
async function readLayers(
  disk: LocalDisk,
  {
    shared,
    opened,
    config,
    signal,
  }: Pick<ReadChainOptions, 'config'> & Omit<ReadOptions, 'timeoutMs'>,
): Promise<Pick<DiskChain, 'layers' | 'marks' | 'obstacle'>> {
  const found: LayerFacts[] = [];
  const read = (obstacle: string | null) => ({
    layers: found.map(reportLayer),
    marks: found.map(({ mark }) => mark),
    obstacle,
  });
  const timeoutMs = config.timeouts.requestMs;
  try {
    for await (const layer of walkChain(disk, { shared, opened, timeoutMs, signal })) {
      found.push(layer);
    }
    return read(null);
  } catch (error) {
    if (!(error instanceof PublishError && OBSTACLES.has(error.code))) throw error;
    return read(error.message);
  }
}

/** Codes of errors that become the `obstacle` of the result. */
const OBSTACLES: ReadonlySet<string> = new Set(['DISK_UNSUPPORTED', 'QEMU_IMG']);
