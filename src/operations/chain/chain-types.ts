// What goes into the chain commands and what comes out of them.
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
