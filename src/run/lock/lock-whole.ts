// Takes the lock of a domain after all its dead runs are recovered.
import { PublishError } from '../../core/errors.ts';
import { reached } from '../journal/journal.ts';
import { type RunOnDisk, readRuns, VOLUMES_POINT } from '../runs.ts';
import { type DomainLock, lockDomain } from './lock.ts';

export interface LockWholeOptions {
  stateDir: string;
  runId: string;
  /**
   * Recovers the dead runs of the domain, under the domain's lock. Resolves to the runs whose guest is
   * restored, also if that could not be journaled.
   */
  recoverEarlier: () => Promise<readonly string[]>;
}

const TRIES = 3;

/**
 * Recovers the domain's dead runs, locks the domain, and looks for dead runs again.
 *
 * NOTE: a run that was running during the recovery may die just before its lock is taken here. This
 * process may then get the lock before that run's guard.
 * @throws PublishError DOMAIN_BUSY; what `recoverEarlier` throws.
 */
export async function lockWholeDomain(
  domain: { name: string; uuid: string },
  { stateDir, runId, recoverEarlier }: LockWholeOptions,
): Promise<DomainLock> {
  for (let left = TRIES; ; left -= 1) {
    const recovered = await recoverEarlier();
    const lock = await lockDomain(domain, runId);
    const dead = await findDeadRuns(stateDir, domain.uuid).catch(async (error: unknown) => {
      await lock.release();
      throw error;
    });
    const pending = dead.find(({ runId: id }) => !recovered.includes(id));
    if (!pending) return lock;
    await lock.release();
    if (left === 1) throw notRecovered(domain.name, pending);
  }
}

/** Returns the dead runs with pending acts on the domain, or with snapshots of its volumes. */
export async function findDeadRuns(stateDir: string, uuid: string): Promise<RunOnDisk[]> {
  return (await readRuns(stateDir)).filter(
    ({ state, facts, pending, entries }) =>
      state === 'dead' &&
      facts?.domain.uuid === uuid &&
      (pending.length > 0 || reached(entries, VOLUMES_POINT) !== undefined),
  );
}

function notRecovered(name: string, { runId }: RunOnDisk): PublishError {
  const message = `domain ${name} is not restored after run ${runId}, which died`;
  return new PublishError('DOMAIN_BUSY', message, {
    step: 'inspect',
    retryable: true,
    hint: `run virt-publish recover ${runId} first`,
  });
}
