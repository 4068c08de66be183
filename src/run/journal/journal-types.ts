// What stands in a journal, and what a restore needs of it.

/** One line of `journal.ndjson`. `act` names an act on the domain, `data` what its undo needs. */
export type JournalEntry =
  | { type: 'run'; time: string; facts: RunFacts }
  | { type: 'intent'; time: string; act: string; data: unknown }
  | { type: 'done'; time: string; act: string }
  | { type: 'undone'; time: string; act: string; data?: unknown }
  | { type: 'point'; time: string; name: string; data?: unknown };

/** What a restore needs to know of a run whose process is gone. */
export interface RunFacts {
  runId: string;
  pid: number;
  bootId: string;
  /** Of /etc/machine-id; null where there is none. */
  machineId: string | null;
  uri: string;
  domain: { name: string; uuid: string };
  /** Where its image goes; null where the run makes none. */
  registry: string | null;
  /** How an S3 registry is reached; no keys. */
  s3?: S3Facts;
  /** Absolute path of the folder with the delta and the image. */
  scratch: string;
}

export interface S3Facts {
  endpoint: string | null;
  region: string | null;
  profile: string | null;
  pathStyle: boolean | null;
  caFile: string | null;
}

/** An act that was announced and not taken back. */
export interface PendingAct {
  act: string;
  data: unknown;
}

/** An entry as it is written; the time is the journal's to add. */
export type NewEntry = Fresh<JournalEntry>;

type Fresh<T> = T extends { time: string } ? Omit<T, 'time'> : never;
