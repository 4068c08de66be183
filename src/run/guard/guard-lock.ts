// The domain's lock for a guard, which puts its guest back also where none is to be had.
import { setTimeout as sleep } from 'node:timers/promises';
import { PublishError } from '../../core/errors.ts';
import { type DomainLock, lockDomain } from '../lock/lock.ts';

/**
 * Takes the lock. Resolves to `busy` if another process holds it, to undefined if it cannot be taken for
 * any other reason, or the answer does not come within `ms`.
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
    // One that comes after all is of no use to anybody.
    locking.then((left) => left.release()).catch(() => undefined);
    return undefined;
  } catch (error) {
    const isBusy = error instanceof PublishError && error.code === 'DOMAIN_BUSY';
    return isBusy ? 'busy' : undefined;
  } finally {
    enough.abort();
  }
}
