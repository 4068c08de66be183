// Starts a run on a domain: recovers earlier runs, locks the domain, starts a guard.
import { randomUUID } from 'node:crypto';
import type { PublishError } from '../core/errors.ts';
import type { OnEvent } from '../core/events.ts';
import type { QuiescePolicy } from '../core/model.ts';
import { type DomainPlace, type Session, withSession } from '../domain/session.ts';
import { recoverRuns } from '../recovery/recover.ts';
import { freeze } from '../run/acts/freeze-act.ts';
import { type SpareGuard, spawnGuard } from '../run/guard/guard.ts';
import { UndoFailure } from '../run/guest-scope.ts';
import { lockWholeDomain } from '../run/lock/lock-whole.ts';

export interface RunSettings extends DomainPlace {
  signal: AbortSignal;
  onEvent: OnEvent;
  /** Left out by runs that need a guest which is not frozen. */
  quiesce?: QuiescePolicy;
}

/** The guard starts while everything is inspected. */
export type GuardedSession<S extends RunSettings> = Session<S> & { guard: SpareGuard };

/**
 * Recovers crashed runs on the domain, locks it, and calls `work` with a session and a run's id.
 * @throws PublishError DOMAIN_BUSY, DOMAIN_NOT_FOUND, GUEST_NOT_RESTORED; what `work` throws.
 */
export async function withLockedDomain<S extends RunSettings, T>(
  settings: S,
  work: (session: GuardedSession<S>, runId: string) => Promise<T>,
): Promise<T> {
  const guard = spawnGuard(settings.connect);
  try {
    return await runLocked(settings, guard, work);
  } finally {
    guard.dismiss();
  }
}

async function runLocked<S extends RunSettings, T>(
  settings: S,
  guard: SpareGuard,
  work: (session: GuardedSession<S>, runId: string) => Promise<T>,
): Promise<T> {
  const runId = randomUUID();
  // Before the domain is looked up: a crashed run may have left it undefined.
  await recoverEarlierRuns(settings, settings.domain);
  return withSession(settings, async (session) => {
    const { domain } = session;
    const recoverEarlier = () => recoverEarlierRuns(settings, domain.uuid);
    const { stateDir } = settings.config;
    const lock = await lockWholeDomain(domain, { stateDir, runId, recoverEarlier });
    try {
      settings.onEvent({ type: 'run', runId, domain: domain.name });
      return await work({ ...session, guard }, runId);
    } finally {
      await lock.release();
    }
  });
}

/**
 * Recovers crashed runs on this domain. A guest that is not restored must not be taken; an image that
 * could not be removed is no obstacle. Returns the runs that were recovered or failed.
 */
async function recoverEarlierRuns(settings: RunSettings, domain: string): Promise<string[]> {
  const { config, signal, onEvent } = settings;
  const warn = (message: string) =>
    onEvent({ type: 'note', level: 'warning', step: 'restore', message });
  const runs = await recoverRuns(config, { refs: [domain], signal, onEvent });
  for (const { runId, outcome, error } of runs) {
    if (error?.code === 'GUEST_NOT_RESTORED' && !mayStayFrozen(error, settings)) throw error;
    if (error) warn(`run ${runId}, which crashed, is not recovered: ${error.message}`);
    if (outcome === 'recovered') warn(`run ${runId} had crashed, and was recovered`);
  }
  return runs.filter(({ outcome }) => outcome !== 'skipped').map(({ runId }) => runId);
}

/**
 * Whether a run may begin on a guest that an earlier one could not thaw: a run that does not use the
 * agent can take a frozen guest, and a paused guest cannot be thawed.
 */
function mayStayFrozen({ undoFailures }: PublishError, { quiesce }: RunSettings): boolean {
  const thaws = undoFailures.filter(
    (failure) => failure instanceof UndoFailure && failure.act === freeze.name,
  );
  if (thaws.length === 0 || thaws.length < undoFailures.length) return false;
  return quiesce === 'off' || thaws.every((thaw) => thaw instanceof UndoFailure && thaw.isParked);
}
