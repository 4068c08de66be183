// What a journal and a record say of a run's volume snapshots: whether they are there, and needed. Pure.
import { PublishError } from '../../core/errors.ts';
import { type JournalEntry, reached } from '../../run/journal/journal.ts';

/** Points of the journal around the calls that make the snapshots. */
export const TAKING_POINT = 'taking';
export const TAKEN_POINT = 'taken';
export const REFUSED_POINT = 'refused';

/** Point of the journal after the last snapshot: until then nobody has tried to activate the image. */
export const CAPTURED_POINT = 'captured';

/** libvirt was asked for snapshots, and nobody knows what it answered. */
export function mayBeInFlight(entries: readonly JournalEntry[]): boolean {
  const has = (point: string) => reached(entries, point) !== undefined;
  return has(TAKING_POINT) && !has(TAKEN_POINT) && !has(REFUSED_POINT);
}

/**
 * Asked after the image was discarded, which kills one that was never active, and no other. One that
 * was, and is deactivated or deleted meanwhile, keeps its snapshots as one that is active does.
 * @throws PublishError REGISTRY where the image has no record: a registry that is not mounted, as
 * one that is empty, knows nothing of an image that is active.
 */
export function isNeeded(
  { id, status }: { id: string; status: string | null },
  registry: string,
): boolean {
  if (status !== null) return status !== 'killed';
  throw new PublishError(
    'REGISTRY',
    `registry ${registry} has no record of image ${id}, which may be active, so its volume snapshots stay as they are; see whether the registry is mounted and the right one, then run: virt-publish recover ${id}`,
    { step: 'rollback', retryable: true },
  );
}
