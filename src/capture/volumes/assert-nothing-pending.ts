// Checks that no dead run has left volume snapshots on a domain.
import { PublishError } from '../../core/errors.ts';
import { reached } from '../../run/journal/journal.ts';
import { findDeadRuns } from '../../run/lock/lock-whole.ts';
import { VOLUMES_POINT } from '../../run/runs.ts';

/**
 * NOTE: an overlay on top of one that no image needs would keep the latter in the chain forever.
 * @throws PublishError DOMAIN_BUSY if the snapshots of a dead run are not removed yet
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
    `the volume snapshots of run ${dead.runId}, which died, are not removed from domain ${name} yet`,
    {
      step: 'inspect',
      retryable: true,
      hint: `run virt-publish recover ${dead.runId}, which shows the reason`,
    },
  );
}
