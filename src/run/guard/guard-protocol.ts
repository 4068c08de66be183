// The messages between a run and its guard: one JSON object a line to the guard, words back.
import type { JournalEntry, PendingAct, RunFacts } from '../journal/journal-types.ts';

/** The first line. It contains the domain's passwords, so it is sent through the pipe only. */
export interface WatchedRun {
  /** The run's folder, with its journal. */
  runPath: string;
  /** How long the guest may stay frozen or paused before the guard releases it: twice the run's own limit. */
  freezeMs: number;
  /** How long any act on the guest may stay pending before the guard restores the guest. */
  guestMs: number;
  facts: RunFacts;
}

/** Each later line: an entry of the journal, with the data that the journal does not get; or the end. */
export type GuardMessage = ActEntry | { type: 'released' } | { type: 'parked' };

export type ActEntry = Extract<JournalEntry, { type: 'intent' | 'done' | 'undone' }>;

/** The guard's messages: it watches the run; it begins to restore the guest of a run that hangs. */
export const READY = 'ready';
export const TOOK_OVER = 'took over';

/** The facts of its run that a guard has without reading a file. */
export interface RunMemory {
  facts: RunFacts;
  entries: readonly ActEntry[];
}

/** Returns undefined for an incomplete line, the last one of a run that died while it wrote. */
export function parseMessage(line: string): GuardMessage | undefined {
  try {
    return JSON.parse(line) as GuardMessage;
  } catch (error) {
    if (error instanceof SyntaxError) return undefined;
    throw error;
  }
}

/**
 * Returns the entries on disk and those that only memory has. The latter come first: their lines
 * are lost or unreadable, and newer entries are on disk.
 */
export function withMemory(
  onDisk: readonly JournalEntry[],
  { facts, entries }: RunMemory,
): JournalEntry[] {
  const known = new Set(onDisk.map(keyOf));
  const lost = entries.filter((entry) => !known.has(keyOf(entry)));
  const run: JournalEntry = { type: 'run', time: '', facts };
  return [run, ...lost, ...onDisk.filter(({ type }) => type !== 'run')];
}

/** Returns the pending acts of the journal, with the data that only memory has. */
export function withSecrets(
  pending: readonly PendingAct[],
  entries: readonly ActEntry[],
): PendingAct[] {
  const intents = entries.filter((entry) => entry.type === 'intent');
  return pending.map((act) => {
    const known = intents.findLast((intent) => intent.act === act.act && includes(intent, act));
    return known ? { act: act.act, data: known.data } : act;
  });
}

function keyOf(entry: JournalEntry): string {
  return JSON.stringify([entry.time, entry.type, 'act' in entry ? entry.act : '']);
}

/** Whether the data in memory includes the journaled data. */
function includes({ data: inMemory }: PendingAct, { data: journaled }: PendingAct): boolean {
  if (!isObject(inMemory) || !isObject(journaled)) return same(inMemory, journaled);
  return Object.entries(journaled).every(([key, value]) => same(inMemory[key], value));
}

function isObject(value: unknown): value is Record<string, unknown> {
  return typeof value === 'object' && value !== null;
}

function same(one: unknown, other: unknown): boolean {
  return JSON.stringify(one) === JSON.stringify(other);
}
