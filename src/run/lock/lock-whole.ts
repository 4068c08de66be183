// The lock of a domain that no dead run has anything of.
import { PublishError } from '../../core/errors.ts';
import { reached } from '../journal/journal.ts';
import { type RunOnDisk, readRuns, VOLUMES_POINT } from '../runs.ts';
import { type DomainLock, lockDomain } from './lock.ts';

export interface LockWholeOptions {
  stateDir: string;
  runId: string;
  /**
   * Puts right what dead runs of the domain left; takes the domain's lock for it. Resolves to the
   * runs that have nothing of the guest any more, also where their journal could not be told so.
   */
  recoverEarlier: () => Promise<readonly string[]>;
}

const TRIES = 3;

/**
 * Mends the domain, then locks it, and looks again.
 *
 * NOTE: a run that was going while dead ones were mended may die just before its lock is asked for
 * here, and this process be quicker to get it than that run's guard.
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
    if (left === 1) throw notMended(domain.name, pending);
  }
}

/** Those with acts on the domain that were not taken back, or with snapshots of its volumes. */
export async function findDeadRuns(stateDir: string, uuid: string): Promise<RunOnDisk[]> {
  return (await readRuns(stateDir)).filter(
    ({ state, facts, pending, entries }) =>
      state === 'dead' &&
      facts?.domain.uuid === uuid &&
      (pending.length > 0 || reached(entries, VOLUMES_POINT) !== undefined),
  );
}

function notMended(name: string, { runId }: RunOnDisk): PublishError {
  const message = `domain ${name} is not as it was before run ${runId}, which died; run virt-publish recover ${runId} first`;
  return new PublishError('DOMAIN_BUSY', message, { step: 'inspect', retryable: true });
}
