// Decides from journal and record whether a run's volume snapshots may exist, and whether an image needs them. Pure.
import { PublishError } from '../../core/errors.ts';
import { type JournalEntry, reached } from '../../run/journal/journal.ts';

/** Points of the journal around the calls that make the snapshots. */
export const TAKING_POINT = 'taking';
export const TAKEN_POINT = 'taken';
export const REFUSED_POINT = 'refused';

/** Point of the journal after the last snapshot: before it, no process has tried to activate the image. */
export const CAPTURED_POINT = 'captured';

/** Whether libvirt was asked for snapshots and its answer is unknown. */
export function mayBeInFlight(entries: readonly JournalEntry[]): boolean {
  const has = (point: string) => reached(entries, point) !== undefined;
  return has(TAKING_POINT) && !has(TAKEN_POINT) && !has(REFUSED_POINT);
}

/**
 * Whether the image needs its snapshots; call it after the image was discarded, which kills only an
 * image that was never active. An image that was active and is deactivated or deleted needs them too.
 * @throws PublishError REGISTRY if the image has no record: a registry that is not mounted looks empty
 */
export function isNeeded(
  { id, status }: { id: string; status: string | null },
  registry: string,
): boolean {
  if (status !== null) return status !== 'killed';
  throw new PublishError(
    'REGISTRY',
    `registry ${registry} has no record of image ${id}, which may be active, so its volume snapshots are kept`,
    {
      step: 'rollback',
      retryable: true,
      hint: `check that the registry is mounted and the right one, then run virt-publish recover ${id}`,
    },
  );
}
