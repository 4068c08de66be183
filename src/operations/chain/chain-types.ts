// What goes into the chain commands and what comes out of them.
import type { OnEvent } from '../../core/events.ts';

/** One disk of a domain. */
export interface ChainOptions {
  /** Name, UUID or id of the domain. */
  domain: string;
  /** libvirt URI; else `LIBVIRT_DEFAULT_URI`, else the configuration. */
  connect?: string;
  /** Target (`vda`) of the disk; the root disk if left out. */
  disk?: string;
  signal?: AbortSignal;
  onEvent?: OnEvent;
}

export interface PullOptions extends ChainOptions {
  /** Path of the layer that stays below the active one; all go into it if left out. */
  base?: string;
  /** Cap of the job in MiB/s; 0 is none. */
  bandwidthMib?: number;
  /** Removes the files that fall out of the chain, where nobody uses them. */
  delete?: boolean;
}

export interface CommitOptions extends PullOptions {
  /** Path of the layer that is written to; the lowest if left out. */
  base?: string;
  /** Path of the highest layer that goes into it; the active one if left out. */
  top?: string;
}

/** One file or block device of a chain. Sizes in bytes. */
export interface ChainLayer {
  path: string;
  format: string;
  virtualSize: number;
  /** What it takes on the host. */
  actualSize: number;
  /** Names of the internal snapshots in it. */
  snapshots: readonly string[];
}

export interface ChainReport {
  domain: { name: string; uuid: string; state: string };
  disk: { target: string; bus: string };
  /** The active layer first. */
  layers: readonly ChainLayer[];
  /** Why the chain could not be followed further down; null where it is whole. */
  obstacle: string | null;
}

/** A file that fell out of the chain. */
export interface UnusedFile {
  path: string;
  removed: boolean;
  /** Why it stays; null where it was removed. */
  reason: string | null;
}

export interface ChainResult {
  runId: string;
  /** The chain before and after. */
  before: readonly ChainLayer[];
  after: readonly ChainLayer[];
  unused: readonly UnusedFile[];
}
