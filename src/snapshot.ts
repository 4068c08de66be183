// One whole run on one page: a running domain becomes an image in a registry.
import { randomUUID } from 'node:crypto';
import { join } from 'node:path';
import { capture } from './capture/capture.ts';
import type { CaptureRun } from './capture/capture-run.ts';
import { NvramCopy } from './capture/nvram.ts';
import { withReserveWatch } from './capture/reserve-watch.ts';
import { onSameFileSystem, refuseTooLittleSpace } from './capture/space.ts';
import { type Config, loadConfig } from './config.ts';
import { runStep } from './events.ts';
import { recoverRuns } from './recover.ts';
import { type SpareGuard, spawnGuard } from './run/guard.ts';
import { guestActs } from './run/guest-acts.ts';
import { GuestScope } from './run/guest-scope.ts';
import type { NewEntry } from './run/journal.ts';
import { lockWholeDomain } from './run/lock-whole.ts';
import { type OpenRun, withRun } from './run/open-run.ts';
import { type Decision, decide, describePlan } from './snapshot/decide.ts';
import { inSlot } from './snapshot/in-slot.ts';
import {
  type FlattenedDisk,
  flattenDisk,
  publishImage,
  withImageRecord,
} from './snapshot/publish.ts';
import { type Session, withSession } from './snapshot/session.ts';
import { decideSettings, type SnapshotSettings } from './snapshot/settings.ts';
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
  const guard = spawnGuard(settings.connect);
  try {
    return await runLocked(settings, guard);
  } finally {
    guard.dismiss();
  }
}

async function runLocked(settings: SnapshotSettings, guard: SpareGuard): Promise<SnapshotResult> {
  const runId = randomUUID();
  // Before the domain is looked for: a dead run may have left it undefined.
  await mendEarlierRuns(settings, settings.domain);
  return withSession(settings, async (session) => {
    const { domain } = session;
    const mend = () => mendEarlierRuns(settings, domain.uuid);
    const { stateDir } = settings.config;
    const lock = await lockWholeDomain(domain, { stateDir, runId, mend });
    try {
      settings.onEvent({ type: 'run', runId, domain: domain.name });
      return await inSlot(session, runId, () => run({ ...session, guard }, runId));
    } finally {
      await lock.release();
    }
  });
}

/** The guard comes up while everything is looked at. */
type GuardedSession = Session & { guard: SpareGuard };

/** What `createSnapshot` would do, and why. Touches nothing. @throws PublishError as it would. */
export async function planSnapshot(
  options: SnapshotOptions,
  config?: Config,
): Promise<SnapshotPlan> {
  const settings = decideSettings(options, config ?? (await loadConfig()));
  return withSession(settings, async (session) => describePlan(session, await decide(session)));
}

/**
 * Puts right what dead runs on this domain left. A guest that is not whole must not be taken; an
 * image that could not be cleared away is no obstacle. Resolves to the runs that were dealt with.
 */
async function mendEarlierRuns(settings: SnapshotSettings, domain: string): Promise<string[]> {
  const { config, signal, onEvent } = settings;
  const runs = await recoverRuns(config, { refs: [domain], signal, onEvent });
  for (const { runId, outcome, error } of runs) {
    if (error?.code === 'GUEST_NOT_RESTORED') throw error;
    if (error) warn(settings, `run ${runId}, which died, is not mended: ${error.message}`);
    if (outcome === 'mended') warn(settings, `run ${runId} had died; what it left was put right`);
  }
  return runs.filter(({ outcome }) => outcome !== 'skipped').map(({ runId }) => runId);
}

async function run(session: GuardedSession, runId: string): Promise<SnapshotResult> {
  const decision = await decide(session);
  if (decision.capture.mode === 'offline') session.guard.dismiss();
  const plan = describePlan(session, decision);
  const { settings } = session;
  await runStep(settings.onEvent, 'space', async () => refuseTooLittleSpace(decision.space));
  const place = {
    stateDir: settings.config.stateDir,
    workDir: settings.workDir,
    onWarning: (message: string) => warn(settings, message),
  };
  const facts = {
    ...{ runId, uri: settings.connect, domain: identityOf(plan.domain) },
    ...{ registry: plan.registry, s3: settings.config.s3 },
  };
  return withRun(facts, place, (open) =>
    withImageRecord(session, decision, { id: runId, journal: open.journal }, async () => {
      open.journal.onWritten((entry) => tell(settings, entry));
      const path = join(open.folder.scratch, `image.${settings.format}`);
      const copy = new NvramCopy(decision.nvram);
      const still = await captureAndFlatten(session, decision, { id: runId, open, path, copy });
      await open.journal.reach('captured');
      const nvram = await copy.writeTo(open.folder.path);
      const image = { id: runId, still, path, nvram, journal: open.journal };
      return { ...(await publishWatched(session, decision, image)), plan };
    }),
  );
}

/** All that is written here is written under watch: the run gives itself up before a disk is full. */
async function captureAndFlatten(
  session: GuardedSession,
  decision: Decision,
  { id, open, path, copy }: { id: string; open: OpenRun; path: string; copy: NvramCopy },
): Promise<FlattenedDisk> {
  const { settings } = session;
  const { config, signal, workDir } = settings;
  const isCold = decision.capture.mode === 'cold';
  const directories = [workDir, ...(isCold ? [config.managedSaveDir] : [])];
  return withReserveWatch({ directories, reserve: config.reserve, signal }, async (watch) => {
    const watched = { ...session, settings: { ...settings, signal: watch.signal } };
    const atPointInTime = () =>
      copy.take(AbortSignal.any([watch.signal, AbortSignal.timeout(config.timeouts.freezeMs)]));
    const run = { ...captureRun(watched, decision, open), checkReserve: watch.check };
    return capture({ ...run, atPointInTime }, (disk) =>
      flattenDisk(watched, decision, { id, still: disk, path }),
    );
  });
}

/** A registry that is a directory elsewhere is written to like the work directory. */
async function publishWatched(
  session: Session,
  decision: Decision,
  image: Parameters<typeof publishImage>[2],
): ReturnType<typeof publishImage> {
  const { settings } = session;
  const { directory } = decision.registry;
  const isCopied = directory !== null && !(await onSameFileSystem(directory, settings.workDir));
  const { reserve } = settings.config;
  const watching = { directories: isCopied ? [directory] : [], reserve, signal: settings.signal };
  return withReserveWatch(watching, async (watch) => {
    await watch.check();
    const watched = { ...session, settings: { ...settings, signal: watch.signal } };
    return publishImage(watched, decision, image);
  });
}

function captureRun(
  { settings, host, domain, guard }: GuardedSession,
  { inspection, capture: plan }: Decision,
  { folder, journal }: OpenRun,
): Omit<CaptureRun, 'checkReserve' | 'atPointInTime'> {
  const { onEvent, signal, bandwidthMib, config } = settings;
  const onRemark = (message: string) => warn(settings, message);
  const context = { host, name: inspection.name, uuid: inspection.uuid };
  const scope = new GuestScope({ journal, acts: guestActs, context, onRemark });
  const { timeouts } = config;
  return {
    ...{ host, domain, inspection, plan, folder, journal, scope, guard },
    ...{ timeouts, bandwidthMib, onEvent, signal },
  };
}

function identityOf({ name, uuid }: SnapshotPlan['domain']): { name: string; uuid: string } {
  return { name, uuid };
}

function tell({ onEvent }: SnapshotSettings, entry: NewEntry): void {
  const name = entry.type === 'point' ? entry.name : 'act' in entry ? entry.act : '';
  const message = `journal: ${entry.type} ${name}`;
  onEvent({ type: 'note', level: 'debug', step: 'restore', message });
}

function warn({ onEvent }: SnapshotSettings, message: string): void {
  onEvent({ type: 'note', level: 'warning', step: 'restore', message });
}
