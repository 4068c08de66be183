// A domain that is locked and whole, with a guard that comes up beside it: what every run begins with.
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
  /** Left out by runs that a frozen guest would disturb. */
  quiesce?: QuiescePolicy;
}

/** The guard comes up while everything is looked at. */
export type GuardedSession<S extends RunSettings> = Session<S> & { guard: SpareGuard };

/**
 * Mends what dead runs left of the domain, locks it, and gives `work` a session and a run's id.
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
  // Before the domain is looked for: a dead run may have left it undefined.
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
 * Puts right what dead runs on this domain left. A guest that is not whole must not be taken; an
 * image that could not be cleared away is no obstacle. Resolves to the runs that were dealt with.
 */
async function recoverEarlierRuns(settings: RunSettings, domain: string): Promise<string[]> {
  const { config, signal, onEvent } = settings;
  const warn = (message: string) =>
    onEvent({ type: 'note', level: 'warning', step: 'restore', message });
  const runs = await recoverRuns(config, { refs: [domain], signal, onEvent });
  for (const { runId, outcome, error } of runs) {
    if (error?.code === 'GUEST_NOT_RESTORED' && !mayStayFrozen(error, settings)) throw error;
    if (error) warn(`run ${runId}, which died, is not mended: ${error.message}`);
    if (outcome === 'recovered') warn(`run ${runId} had died; what it left was put right`);
  }
  return runs.filter(({ outcome }) => outcome !== 'skipped').map(({ runId }) => runId);
}

/**
 * Whether a run may begin on a guest that an earlier one could not thaw. A run that asks the agent for
 * nothing takes a frozen guest as it takes any other; and one that stands still cannot be thawed.
 */
function mayStayFrozen({ undoFailures }: PublishError, { quiesce }: RunSettings): boolean {
  const thaws = undoFailures.filter(
    (failure) => failure instanceof UndoFailure && failure.act === freeze.name,
  );
  if (thaws.length === 0 || thaws.length < undoFailures.length) return false;
  return quiesce === 'off' || thaws.every((thaw) => thaw instanceof UndoFailure && thaw.isParked);
}
