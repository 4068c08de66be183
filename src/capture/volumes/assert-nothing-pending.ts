// No snapshot of volumes on top of those that a dead run has left.
import { PublishError } from '../../core/errors.ts';
import { reached } from '../../run/journal/journal.ts';
import { findDeadRuns } from '../../run/lock/lock-whole.ts';
import { VOLUMES_POINT } from '../../run/runs.ts';

/**
 * NOTE: an overlay on top of one that no image needs would keep that in the chain for good.
 * @throws PublishError DOMAIN_BUSY where a dead run's snapshots could not be taken back yet.
 */
export async function assertNothingPending(
  stateDir: string,
  { name, uuid }: { name: string; uuid: string },
): Promise<void> {
  const runs = await findDeadRuns(stateDir, uuid);
  const dead = runs.find(({ entries }) => reached(entries, VOLUMES_POINT) !== undefined);
  if (!dead) return;
  throw new PublishError(
    'DOMAIN_BUSY',
    `the volume snapshots of run ${dead.runId}, which died, are not taken back from domain ${name} yet; virt-publish recover ${dead.runId} says why`,
    { step: 'inspect', retryable: true },
  );
}
