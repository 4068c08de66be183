// One whole run on one page: a running domain becomes an image in a registry.
import { capture } from '../../capture/capture.ts';
import type { CaptureRun } from '../../capture/capture-run.ts';
import { freezeLimitMs } from '../../capture/freeze-limit.ts';
import { NvramCopy } from '../../capture/nvram.ts';
import { withReserveWatch } from '../../capture/reserve-watch.ts';
import { type Config, loadConfig } from '../../config/config.ts';
import { runStep } from '../../core/events.ts';
import type { CaptureMode } from '../../core/model.ts';
import { withSession } from '../../domain/session.ts';
import { assertEnoughSpace, onSameFileSystem } from '../../domain/space.ts';
import { guestActs } from '../../run/acts/guest-acts.ts';
import { GuestScope } from '../../run/guest-scope.ts';
import type { NewEntry } from '../../run/journal/journal.ts';
import { type OpenRun, withRun } from '../../run/open-run.ts';
import { type GuardedSession, withLockedDomain } from '../locked-domain.ts';
import { withSlot } from '../with-slot.ts';
import { type Decision, decide, describePlan } from './decide.ts';
import { type FlatDisks, flattenDisks } from './flatten-disks.ts';
import { foresee } from './foresee.ts';
import { publishImage, withImageRecord } from './publish.ts';
import type { SnapshotSession } from './settings.ts';
import { decideSettings, type SnapshotSettings } from './settings.ts';
import { settleMethod } from './settle-method.ts';
import type { SnapshotOptions, SnapshotPlan, SnapshotResult } from './snapshot-types.ts';

/**
 * Takes one disk of a domain, or several at one point in time, and publishes them as one image. When
 * this settles the guest is as it was; when it rejects, no image is active and nothing is left behind.
 * @throws PublishError; GUEST_NOT_RESTORED where the guest needs help, with the command that helps.
 */
export async function createSnapshot(
  options: SnapshotOptions,
  config?: Config,
): Promise<SnapshotResult> {
  const settings = decideSettings(options, config ?? (await loadConfig()));
  return withLockedDomain(settings, (session, runId) =>
    withSlot(session, runId, () => run(session, runId)),
  );
}

/**
 * What `createSnapshot` would do, why, and what it would be refused with. Touches nothing.
 * @throws PublishError where nothing can be planned, as it would.
 */
export async function planSnapshot(
  options: SnapshotOptions,
  config?: Config,
): Promise<SnapshotPlan> {
  const settings = decideSettings(options, config ?? (await loadConfig()));
  return withSession(settings, async (session) => {
    const decision = await decide(session);
    return { ...describePlan(session, decision), obstacles: await foresee(session, decision) };
  });
}

/** Nothing is done to the domain, so there is nothing to guard. */
const UNTOUCHED: readonly CaptureMode[] = ['offline', 'existing'];

async function run(
  session: GuardedSession<SnapshotSettings>,
  runId: string,
): Promise<SnapshotResult> {
  const decision = await decide(session);
  if (UNTOUCHED.includes(decision.capture.mode)) session.guard.dismiss();
  const plan = describePlan(session, decision);
  const { settings } = session;
  await runStep(settings.onEvent, 'space', async () => assertEnoughSpace(decision.space));
  const place = {
    stateDir: settings.config.stateDir,
    workDir: settings.workDir,
    forQemu: decision.capture.mode === 'live',
    host: session.host,
    onWarning: (message: string) => warn(settings, message),
  };
  const facts = {
    ...{ runId, uri: settings.connect, domain: identityOf(plan.domain) },
    ...{ registry: plan.registry, s3: settings.config.s3 },
  };
  return withRun(facts, place, (open) =>
    withImageRecord(session, decision, { id: runId, journal: open.journal }, async () => {
      decision.registry.prepareUpload();
      open.journal.onWritten((entry) => tell(settings, entry));
      const settled = await settleMethod(session, decision);
      const copy = new NvramCopy(decision.nvram);
      const flat = await captureAndFlatten(session, settled, { open, copy });
      await open.journal.checkpoint('captured');
      const nvram = await copy.writeTo(open.folder.path);
      const image = { id: runId, flat, nvram, journal: open.journal };
      const published = await publishWatched(session, settled, image);
      return { ...published, plan: describePlan(session, settled) };
    }),
  );
}

/** All that is written here is written under watch: the run gives itself up before a disk is full. */
async function captureAndFlatten(
  session: GuardedSession<SnapshotSettings>,
  decision: Decision,
  { open, copy }: { open: OpenRun; copy: NvramCopy },
): Promise<FlatDisks> {
  const { settings } = session;
  const { config, signal, workDir } = settings;
  const isCold = decision.capture.mode === 'cold';
  const directories = [workDir, ...(isCold ? [config.managedSaveDir] : [])];
  return withReserveWatch({ directories, reserve: config.reserve, signal }, async (watch) => {
    const watched = { ...session, settings: { ...settings, signal: watch.signal } };
    const atPointInTime = () =>
      copy.take({ timeoutMs: config.timeouts.freezeMs, signal: watch.signal });
    const run = { ...captureRun(watched, decision, open), checkReserve: watch.check };
    return capture({ ...run, atPointInTime }, (still) =>
      flattenDisks(watched, decision, { still, folder: open.folder.scratch }),
    );
  });
}

/** A registry that is a directory elsewhere is written to like the work directory. */
async function publishWatched(
  session: SnapshotSession,
  decision: Decision,
  image: Parameters<typeof publishImage>[2],
): ReturnType<typeof publishImage> {
  const { settings } = session;
  const { directory } = decision.registry;
  const isCopied = directory !== null && !(await onSameFileSystem(directory, settings.workDir));
  const { reserve } = settings.config;
  // A clone grows with what its guest writes for as long as the image is made of it; a delta does not.
  const readsClone =
    decision.capture.mode === 'cold' && image.flat.disks.some(({ streamed }) => streamed);
  const directories = [...(isCopied ? [directory] : []), ...(readsClone ? [settings.workDir] : [])];
  const watching = { directories, reserve, signal: settings.signal };
  return withReserveWatch(watching, async (watch) => {
    await watch.check();
    const watched = { ...session, settings: { ...settings, signal: watch.signal } };
    return publishImage(watched, decision, image);
  });
}

function captureRun(
  { settings, host, domain, guard }: GuardedSession<SnapshotSettings>,
  { inspection, capture: plan }: Decision,
  { folder, journal }: OpenRun,
): Omit<CaptureRun, 'checkReserve' | 'atPointInTime'> {
  const { onEvent, signal, bandwidthMib, config, disks: selection } = settings;
  const onNote = (message: string) => warn(settings, message);
  const context = { host, name: inspection.name, uuid: inspection.uuid };
  const scope = new GuestScope({ journal, acts: guestActs, context, onNote });
  const { timeouts } = config;
  return {
    ...{ host, domain, inspection, selection, plan, folder, journal, scope, guard },
    ...{ timeouts, freezeLimitMs: freezeLimitMs(timeouts, inspection) },
    ...{ bandwidthMib, onEvent, signal },
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
