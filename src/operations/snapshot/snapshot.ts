// One snapshot from start to end: a domain becomes an image in a registry.
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
 * Takes one disk of a domain, or several at one point in time, and publishes them as one image. The
 * guest is as it was when this settles; no image is active and nothing is left if it rejects.
 * @throws PublishError; GUEST_NOT_RESTORED with the command that restores the guest if an undo failed
 */
export async function createSnapshot(
  options: SnapshotOptions,
  config?: Config,
): Promise<SnapshotResult> {
  const settings = decideSettings(options, config ?? (await loadConfig()));
  return withLockedDomain(settings, takeInSlot);
}

/**
 * Returns what `createSnapshot` would do, why, and what it would fail with. Touches nothing.
 * @throws PublishError if nothing can be planned
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

/** What the steps of one run need. */
interface SnapshotRun {
  runId: string;
  session: GuardedSession<SnapshotSettings>;
  decision: Decision;
  open: OpenRun;
}

/** Modes that do nothing to the domain, so there is nothing to guard. */
const UNTOUCHED: readonly CaptureMode[] = ['offline', 'existing'];

/** The domain is locked: waits for one of the host's slots. */
function takeInSlot(session: SnapshotRun['session'], runId: string): Promise<SnapshotResult> {
  return withSlot(session, runId, () => takeInRun(session, runId));
}

/** Decides everything, then opens the run: its folder and its journal. */
async function takeInRun(session: SnapshotRun['session'], runId: string): Promise<SnapshotResult> {
  const { settings } = session;
  const decision = await decide(session);
  if (UNTOUCHED.includes(decision.capture.mode)) session.guard.dismiss();
  await runStep(settings.onEvent, 'space', async () => assertEnoughSpace(decision.space));
  const place = {
    stateDir: settings.config.stateDir,
    workDir: settings.workDir,
    forQemu: decision.capture.mode === 'live',
    host: session.host,
    onWarning: (message: string) => warn(settings, message),
  };
  const { name, uuid } = decision.inspection;
  const facts = {
    ...{ runId, uri: settings.connect, domain: { name, uuid } },
    ...{ registry: decision.registry.url, s3: settings.config.s3 },
  };
  return withRun(facts, place, (open) => takeAsImage({ runId, session, decision, open }));
}

/** Queues the image's record, which gets status `killed` and a reason if the rest fails. */
function takeAsImage(run: SnapshotRun): Promise<SnapshotResult> {
  const { runId, session, decision, open } = run;
  const record = { id: runId, journal: open.journal };
  return withImageRecord(session, decision, record, () => captureAndPublish(run));
}

/** Makes an active image of a domain that is locked, planned and guarded. */
async function captureAndPublish(planned: SnapshotRun): Promise<SnapshotResult> {
  const { runId, session, open } = planned;
  const { settings } = session;
  planned.decision.registry.prepareUpload();
  open.journal.onWritten((entry) => noteEntry(settings, entry));
  const decision = await settleMethod(session, planned.decision);
  const nvramCopy = new NvramCopy(decision.nvram);
  const flat = await captureAndFlatten({ ...planned, decision }, nvramCopy);
  await open.journal.checkpoint('captured');
  const nvram = await nvramCopy.writeTo(open.folder.path);
  const image = { id: runId, flat, nvram, journal: open.journal };
  const published = await publishWatched(session, decision, image);
  return { ...published, plan: describePlan(session, decision) };
}

/** Captures the disks and flattens them, while the free space is watched. */
async function captureAndFlatten(run: SnapshotRun, nvramCopy: NvramCopy): Promise<FlatDisks> {
  const { settings } = run.session;
  const { config, signal, workDir } = settings;
  const isCold = run.decision.capture.mode === 'cold';
  const directories = [workDir, ...(isCold ? [config.managedSaveDir] : [])];
  return withReserveWatch({ directories, reserve: config.reserve, signal }, (watch) => {
    const session = { ...run.session, settings: { ...settings, signal: watch.signal } };
    return captureWatched({ ...run, session }, nvramCopy, watch.check);
  });
}

function captureWatched(
  { session, decision, open }: SnapshotRun,
  nvramCopy: NvramCopy,
  checkReserve: () => Promise<void>,
): Promise<FlatDisks> {
  const { signal, config } = session.settings;
  const limits = { timeoutMs: config.timeouts.freezeMs, signal };
  const atPointInTime = () => nvramCopy.take(limits);
  const run = { ...captureRun(session, decision, open), checkReserve, atPointInTime };
  return capture(run, (still) =>
    flattenDisks(session, decision, { still, folder: open.folder.scratch }),
  );
}

/** Publishes the images, while the free space is watched if that writes files or reads a clone. */
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

function noteEntry({ onEvent }: SnapshotSettings, entry: NewEntry): void {
  const name = entry.type === 'point' ? entry.name : 'act' in entry ? entry.act : '';
  const message = `journal: ${entry.type} ${name}`;
  onEvent({ type: 'note', level: 'debug', step: 'restore', message });
}

function warn({ onEvent }: SnapshotSettings, message: string): void {
  onEvent({ type: 'note', level: 'warning', step: 'restore', message });
}
