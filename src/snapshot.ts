// One whole run on one page: a running domain becomes an image in a registry.
import { randomUUID } from 'node:crypto';
import { join } from 'node:path';
import { capture } from './capture/capture.ts';
import type { CaptureRun } from './capture/capture-run.ts';
import { refuseTooLittleSpace } from './capture/space.ts';
import { type Config, loadConfig } from './config.ts';
import { runStep } from './events.ts';
import { guestActs } from './run/guest-acts.ts';
import { GuestScope } from './run/guest-scope.ts';
import { lockDomain } from './run/lock.ts';
import { type OpenRun, withRun } from './run/open-run.ts';
import { type Decision, decide, describePlan } from './snapshot/decide.ts';
import { flattenDisk, publishImage, withImageRecord } from './snapshot/publish.ts';
import { type Session, withSession } from './snapshot/session.ts';
import { decideSettings } from './snapshot/settings.ts';
import type { SnapshotOptions, SnapshotPlan, SnapshotResult } from './snapshot-types.ts';

/**
 * Takes one disk of a domain and publishes it. When this settles the guest is as it was; when it
 * rejects, no image is active and nothing is left behind.
 * @throws PublishError; GUEST_NOT_RESTORED where the guest needs help, with the command that helps.
 */
export async function createSnapshot(
  options: SnapshotOptions,
  config?: Config,
): Promise<SnapshotResult> {
  const settings = decideSettings(options, config ?? (await loadConfig()));
  const runId = randomUUID();
  return withSession(settings, async (session) => {
    const lock = await lockDomain(session.domain, runId);
    try {
      settings.onEvent({ type: 'run', runId, domain: session.domain.name });
      return await run(session, runId);
    } finally {
      await lock.release();
    }
  });
}

/** What `createSnapshot` would do, and why. Touches nothing. @throws PublishError as it would. */
export async function planSnapshot(
  options: SnapshotOptions,
  config?: Config,
): Promise<SnapshotPlan> {
  const settings = decideSettings(options, config ?? (await loadConfig()));
  return withSession(settings, async (session) => describePlan(session, await decide(session)));
}

async function run(session: Session, runId: string): Promise<SnapshotResult> {
  const decision = await decide(session);
  const plan = describePlan(session, decision);
  const { settings } = session;
  await runStep(settings.onEvent, 'space', async () => refuseTooLittleSpace(decision.space));
  const where = { stateDir: settings.config.stateDir, workDir: settings.workDir };
  const facts = { runId, uri: settings.connect, domain: plan.domain, registry: plan.registry };
  return withRun(facts, where, (open) =>
    withImageRecord(session, decision, runId, async () => {
      const path = join(open.folder.scratch, `image.${settings.format}`);
      const still = await capture(captureRun(session, decision, open), (disk) =>
        flattenDisk(session, decision, { still: disk, path }),
      );
      return { ...(await publishImage(session, decision, { id: runId, still, path })), plan };
    }),
  );
}

function captureRun(
  { settings, host, domain }: Session,
  { inspection, capture: plan }: Decision,
  { folder, journal }: OpenRun,
): CaptureRun {
  const { onEvent, signal, bandwidthMib, config } = settings;
  const onRemark = (message: string) =>
    onEvent({ type: 'note', level: 'warning', step: 'restore', message });
  const context = { host, name: inspection.name, uuid: inspection.uuid };
  const scope = new GuestScope({ journal, acts: guestActs, context, onRemark });
  const { timeouts } = config;
  return {
    ...{ host, domain, inspection, plan, folder, journal, scope },
    ...{ timeouts, bandwidthMib, onEvent, signal },
  };
}
