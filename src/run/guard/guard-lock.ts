// The domain's lock for a guard, which restores its guest also without the lock.
import { setTimeout as sleep } from 'node:timers/promises';
import { PublishError } from '../../core/errors.ts';
import { type DomainLock, lockDomain } from '../lock/lock.ts';

/**
 * Takes the lock. Resolves to `busy` if another process holds it; to undefined if it cannot be taken
 * for another reason, or not within `ms`.
 */
export async function guardLock(
  domain: { name: string; uuid: string },
  runId: string,
  ms: number,
): Promise<DomainLock | 'busy' | undefined> {
  const enough = new AbortController();
  const late = sleep(ms, 'late' as const, { signal: enough.signal }).catch(() => 'late' as const);
  const locking = lockDomain(domain, runId, { role: 'guard' });
  try {
    const lock = await Promise.race([locking, late]);
    if (lock !== 'late') return lock;
    // A lock that is taken too late is released.
    locking.then((left) => left.release()).catch(() => undefined);
    return undefined;
  } catch (error) {
    const isBusy = error instanceof PublishError && error.code === 'DOMAIN_BUSY';
    return isBusy ? 'busy' : undefined;
  } finally {
    enough.abort();
  }
}
