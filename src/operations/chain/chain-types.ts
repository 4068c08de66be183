// The options and results of the chain operations.
import type { OnEvent } from '../../core/events.ts';
import type { ChainLayer } from '../../core/model.ts';

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

/** What `pullChain` does. */
export interface PullChainOptions extends ChainOptions {
  /** Path of the layer that stays below the active one; all go into it if left out. */
  base?: string;
  /** Cap of the job in MiB/s; 0 is none. */
  bandwidthMib?: number;
  /** Removes the files that leave the chain, unless something uses them. */
  delete?: boolean;
}

/** What `commitChain` does. */
export interface CommitChainOptions extends PullChainOptions {
  /** Path of the layer that is written to; the lowest if left out. */
  base?: string;
  /** Path of the highest layer that goes into it; the active one if left out. */
  top?: string;
}

/** A file that left the chain. */
export interface UnusedFile {
  path: string;
  removed: boolean;
  /** Why the file was not removed; null if it was. */
  reason: string | null;
}

/** A chain that was shortened. */
export interface ChainResult {
  runId: string;
  /** The chain before and after. */
  before: readonly ChainLayer[];
  after: readonly ChainLayer[];
  unused: readonly UnusedFile[];
}
