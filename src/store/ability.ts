// What a store may be able to do, and what was seen of it.
import type { ObjectStore } from './object-store.ts';

export type Finding = Omit<Ability, 'name'>;

export interface Probe {
  store: ObjectStore;
  folder: string;
  signal: AbortSignal | undefined;
}

/** What came of trying. `works` is null where the store has no such thing or it cannot be told. */
export interface Ability {
  name: AbilityName;
  works: boolean | null;
  /** What was found, and what follows where it does not work; one sentence for people. */
  says: string;
}

export type AbilityName = (typeof ABILITIES)[number];

export const ABILITIES = [
  'create-only',
  'create-only-parts',
  'content-md5',
  'checksum',
  'part-copy',
  'presigned',
] as const;
