// The status of a run, from its journal. Pure.
import { IMAGE_POINT } from '../publish/finish.ts';
import { pendingActs, reached } from '../run/journal/journal.ts';
import { isNote } from '../run/journal/notes.ts';
import type { RunOnDisk, RunState } from '../run/runs.ts';

/** One run of the state directory. */
export interface RunStatus {
  runId: string;
  state: RunState;
  /** Null if it died before it wrote its first entry. */
  domain: { name: string; uuid: string } | null;
  startedAt: string | null;
  pid: number | null;
  registry: string | null;
  /** The last entry of its journal, such as `mirror started`. */
  last: string | null;
  /** The acts on the guest that are not undone. */
  pendingUndo: string[];
  /** Whether `recover --resume` can publish its image. */
  resumable: boolean;
}

export function statusOf(run: RunOnDisk): RunStatus {
  const { runId, state, facts, entries, pending } = run;
  return {
    ...{ runId, state, domain: facts?.domain ?? null, startedAt: entries[0]?.time ?? null },
    ...{ pid: facts?.pid ?? null, registry: facts?.registry ?? null, last: lastStep(run) },
    pendingUndo: pending.map(({ act }) => act),
    resumable: state === 'dead' && canResume(run),
  };
}

/** NOTE: after a power cut it is unknown which blocks of the image file are on the disk. */
export function canResume({ entries, rebooted }: RunOnDisk): boolean {
  const hasImage = reached(entries, IMAGE_POINT) !== undefined;
  return hasImage && !rebooted && pendingActs(entries).length === 0;
}

/** Guards and recovers append to the journal as well, but only `undone` entries and notes. */
export function lastStep({ entries }: Pick<RunOnDisk, 'entries'>): string | null {
  const last = entries.findLast((entry) => entry.type !== 'undone' && !isNote(entry));
  switch (last?.type) {
    case 'intent':
      return `${last.act} started`;
    case 'done':
      return `${last.act} done`;
    case 'point':
      return last.name;
    case 'run':
      return 'started';
    default:
      return null;
  }
}

/** A call that a run began before it died has reached libvirt by then, or never does. */
const RECENT_MS = 10_000;

/** True if the run may have been in a call that has not reached libvirt yet. */
export function isRecent({ entries }: RunOnDisk): boolean {
  const last = Date.parse(entries.at(-1)?.time ?? '');
  return Math.abs(Date.now() - last) < RECENT_MS;
}
