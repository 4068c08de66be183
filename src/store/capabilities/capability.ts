// The optional capabilities of a store, and the results of their probes.
import type { ObjectStore } from '../object-store.ts';

export type Finding = Omit<Capability, 'name'>;

export interface Probe {
  store: ObjectStore;
  folder: string;
  signal: AbortSignal | undefined;
}

/** The result of a probe. `supported` is null if the store has no such feature or the probe could not decide. */
export interface Capability {
  name: CapabilityName;
  supported: boolean | null;
  /** The result of the probe and its consequence, in one sentence. */
  detail: string;
}

export type CapabilityName = (typeof CAPABILITIES)[number];

export const CAPABILITIES = [
  'create-only',
  'create-only-parts',
  'content-md5',
  'checksum',
  'part-copy',
  'presigned',
] as const;
