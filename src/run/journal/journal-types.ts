// The entries of a journal, and the facts that a restore needs.

/** One line of `journal.ndjson`. `act` is the name of an act on the domain, `data` the input of its undo. */
export type JournalEntry =
  | { type: 'run'; time: string; facts: RunFacts }
  | { type: 'intent'; time: string; act: string; data: unknown }
  | { type: 'done'; time: string; act: string }
  | { type: 'undone'; time: string; act: string; data?: unknown }
  | { type: 'point'; time: string; name: string; data?: unknown };

/** The facts of a run that a restore needs when its process is dead. */
export interface RunFacts {
  runId: string;
  pid: number;
  bootId: string;
  /** Content of /etc/machine-id; null if there is none. */
  machineId: string | null;
  uri: string;
  domain: { name: string; uuid: string };
  /** URL of the image's registry; null if the run makes no image. */
  registry: string | null;
  /** Connection settings of an S3 registry, without keys. */
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

/** An act whose intent was journaled and that is not undone. */
export interface PendingAct {
  act: string;
  data: unknown;
}

/** An entry without its time, which the journal adds. */
export type NewEntry = Fresh<JournalEntry>;

type Fresh<T> = T extends { time: string } ? Omit<T, 'time'> : never;
