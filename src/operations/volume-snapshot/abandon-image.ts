// The undo of a volume snapshot: the record gets status `killed`, and the snapshots are removed.
import { join } from 'node:path';
import { isNeeded, mayBeInFlight } from '../../capture/volumes/needed-volumes.ts';
import type { VolumesPoint } from '../../capture/volumes/rollback-request.ts';
import { rollbackVolumes } from '../../capture/volumes/rollback-volumes.ts';
import { messageOf, PublishError, publicReason } from '../../core/errors.ts';
import { runStep } from '../../core/events.ts';
import { shellQuote } from '../../core/shell-quote.ts';
import { JOURNAL_FILE, readJournal } from '../../run/journal/journal.ts';
import type { OpenRun } from '../../run/open-run.ts';
import type { SnapshotSession, SnapshotSettings } from '../snapshot/settings.ts';
import type { VolumeDecision } from './decide-volumes.ts';

/**
 * Changes the record first: while it may be active, the snapshots that it names must stay.
 * @throws PublishError GUEST_NOT_RESTORED if a snapshot stays, or it is unknown whether it must
 */
export async function abandonImage(
  { settings, host }: SnapshotSession,
  { plan, registry }: Pick<VolumeDecision, 'plan' | 'registry'>,
  {
    runId,
    open: { folder, journal },
    point,
    mayBeActive,
    cause,
  }: { runId: string; open: OpenRun; point: VolumesPoint; mayBeActive: boolean; cause: unknown },
): Promise<void> {
  const { onEvent, config } = settings;
  try {
    await runStep(onEvent, 'rollback', async () => {
      const discarding = registry.discardImage(runId, publicReason(cause));
      const record = await (mayBeActive ? discarding : warnOnFailure(settings, runId, discarding));
      if (mayBeActive && isNeeded({ id: runId, status: record?.status ?? null }, registry.url)) {
        return warn(settings, `image ${runId} is ${record?.status} and stays, with its snapshots`);
      }
      const entries = await readJournal(join(folder.path, JOURNAL_FILE));
      await rollbackVolumes({
        ...{ host, domain: plan.domain, runId, point, mayBeInFlight: mayBeInFlight(entries) },
        ...{
          isLate: false,
          journal,
          config,
          onEvent,
          onNote: (note) => warn(settings, note),
        },
        // Not cancelled: an undo runs to its end.
        signal: new AbortController().signal,
      });
    });
  } catch (failure) {
    throw new PublishError(
      'GUEST_NOT_RESTORED',
      `the volume snapshots of domain ${plan.domain.name} could not be undone (${messageOf(failure)}), after: ${messageOf(cause)}; the guest runs, and its data is complete`,
      { step: 'rollback', cause, recoveryCommand: `virt-publish recover ${shellQuote(runId)}` },
    );
  }
}

/** Turns a failure into a warning: an image that was never activated needs no snapshot. */
async function warnOnFailure<T>(
  settings: SnapshotSettings,
  runId: string,
  discarding: Promise<T>,
): Promise<T | undefined> {
  try {
    return await discarding;
  } catch (failure) {
    warn(
      settings,
      `the incomplete image ${runId} could not be removed (${messageOf(failure)}); virt-publish gc removes it`,
    );
    return undefined;
  }
}

function warn({ onEvent }: SnapshotSettings, message: string): void {
  onEvent({ type: 'note', level: 'warning', step: 'volumes', message });
}
