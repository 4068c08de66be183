// What a run tells its guard, one JSON object a line, and what the guard answers.
import type { JournalEntry, PendingAct, RunFacts } from '../journal/journal-types.ts';

/** The first line. It has the domain's passwords, so it goes through the pipe and nowhere else. */
export interface WatchedRun {
  /** The run's folder, with its journal. */
  runPath: string;
  /** How long the guest may stay frozen before the guard thaws it. */
  freezeMs: number;
  /** How long any act on the guest may stay pending before the guard puts the guest back. */
  guestMs: number;
  facts: RunFacts;
}

/** Each line after it: an entry of the journal, with what the journal does not get; or the end. */
export type GuardMessage = ActEntry | { type: 'released' } | { type: 'parked' };

export type ActEntry = Extract<JournalEntry, { type: 'intent' | 'done' | 'undone' }>;

/** What the guard says: it knows the run; it has put the guest back while the run lived. */
export const READY = 'ready';
export const TOOK_OVER = 'took over';

/** What a guard knows of its run without any file. */
export interface RunMemory {
  facts: RunFacts;
  entries: readonly ActEntry[];
}

/** Undefined for a line that is no message: the last one of a run that died while it wrote it. */
export function parseMessage(line: string): GuardMessage | undefined {
  try {
    return JSON.parse(line) as GuardMessage;
  } catch (error) {
    if (error instanceof SyntaxError) return undefined;
    throw error;
  }
}

/**
 * The journal as it is on disk, with what memory has beyond it: entries whose lines are lost or cannot
 * be read come first, since what is newer is on disk as well.
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

/** Acts as the journal knows them, with the data that only memory has. */
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

/** Whether the data in memory is that of the journal, perhaps with more. */
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
