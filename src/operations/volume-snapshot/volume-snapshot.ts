// A snapshot of a domain's volumes on one page: their pools keep the data, the registry the record.
import { freezeLimitMs } from '../../capture/freeze-limit.ts';
import { assertNothingPending } from '../../capture/volumes/assert-nothing-pending.ts';
import { CAPTURED_POINT } from '../../capture/volumes/needed-volumes.ts';
import type { VolumesPoint } from '../../capture/volumes/rollback-request.ts';
import type { TakenVolumes } from '../../capture/volumes/take-volumes.ts';
import { takeVolumes } from '../../capture/volumes/take-volumes.ts';
import type { VolumePlan } from '../../capture/volumes/volume-plan.ts';
import { type Config, loadConfig } from '../../config/config.ts';
import { messageOf } from '../../core/errors.ts';
import { runStep } from '../../core/events.ts';
import { withSession } from '../../domain/session.ts';
import { scrubDomainXml } from '../../libvirt/xml/domain-xml.ts';
import { ACTIVE_POINT, followUp } from '../../publish/finish.ts';
import type { ImageRecord } from '../../registry/record/image.ts';
import { guestActs } from '../../run/acts/guest-acts.ts';
import { GuestScope } from '../../run/guest-scope.ts';
import { type OpenRun, withRun } from '../../run/open-run.ts';
import { VOLUMES_POINT } from '../../run/runs.ts';
import { underGuard } from '../../run/under-guard.ts';
import { type GuardedSession, withLockedDomain } from '../locked-domain.ts';
import { foreseeFolders } from '../snapshot/foresee.ts';
import { decideSettings, type SnapshotSettings } from '../snapshot/settings.ts';
import { withSlot } from '../with-slot.ts';
import { abandonImage } from './abandon-image.ts';
import { decideVolumes, markOf, type VolumeDecision } from './decide-volumes.ts';
import { foreseeVolumes } from './foresee-volumes.ts';
import { newVolumeImage, volumeImageProperties } from './image-of-volumes.ts';
import type { VolumeSnapshotOptions, VolumeSnapshotResult } from './volume-types.ts';

/**
 * Takes a snapshot of every volume of a domain at one point in time, and publishes an image that
 * names them. The image has no data of its own. If this rejects, no image is active and no snapshot
 * of this run is left. One exception: if an alias could not be moved, the image is active, and
 * stays.
 * @throws PublishError DISK_UNSUPPORTED, VOLUMES, QUIESCE, REGISTRY; GUEST_NOT_RESTORED if a
 * snapshot could not be removed, with the command that removes it.
 */
export async function createVolumeSnapshot(
  options: VolumeSnapshotOptions,
  config?: Config,
): Promise<VolumeSnapshotResult> {
  const settings = decideSettings(options, config ?? (await loadConfig()));
  return withLockedDomain(settings, (session, runId) =>
    withSlot(session, runId, () => run(session, runId)),
  );
}

/**
 * Returns what `createVolumeSnapshot` would do, and in `obstacles` what it would fail with. Touches nothing.
 * @throws PublishError for a domain or a disk that no volume snapshot can be taken of.
 */
export async function planVolumeSnapshot(
  options: VolumeSnapshotOptions,
  config?: Config,
): Promise<VolumePlan> {
  const settings = decideSettings(options, config ?? (await loadConfig()));
  return withSession(settings, async (session) => {
    const { plan } = await decideVolumes(session, NO_RUN);
    const obstacles = [
      ...(await foreseeVolumes(session, plan)),
      ...(await foreseeFolders(settings)),
    ];
    return { ...plan, obstacles };
  });
}

/** A dry run has no id that its volumes could be named after. */
const NO_RUN = 'xxxxxxxx';

type VolumeSession = GuardedSession<SnapshotSettings>;

async function run(session: VolumeSession, runId: string): Promise<VolumeSnapshotResult> {
  const { settings } = session;
  const { config, workDir } = settings;
  await assertNothingPending(config.stateDir, session.domain);
  const decision = await decideVolumes(session, runId);
  if (!decision.active) session.guard.dismiss();
  const { plan, registry } = decision;
  const { name, uuid } = plan.domain;
  const place = {
    ...{ stateDir: config.stateDir, workDir, host: session.host },
    onWarning: (message: string) => warn(settings, message),
  };
  const facts = {
    ...{ runId, uri: settings.connect, domain: { name, uuid } },
    ...{ registry: registry.url, s3: config.s3 },
  };
  return withRun(facts, place, (open) => publish(session, decision, { runId, open }));
}

async function publish(
  session: VolumeSession,
  decision: VolumeDecision,
  { runId, open }: { runId: string; open: OpenRun },
): Promise<VolumeSnapshotResult> {
  const { settings } = session;
  const { onEvent, aliases } = settings;
  const { plan, registry } = decision;
  const { journal } = open;
  const { kind, volumes } = plan;
  const point: VolumesPoint = { kind, mark: markOf(runId), volumes, aliases };
  let mayBeActive = false;
  let image: ImageRecord;
  await runStep(onEvent, 'queue', () => registry.queueImage(newVolumeImage(settings, plan, runId)));
  try {
    await journal.checkpoint(VOLUMES_POINT, point);
    const taken = await take(session, decision, { runId, open });
    await journal.checkpoint(CAPTURED_POINT);
    await showOverlays(session, plan);
    mayBeActive = true;
    image = await activate(settings, decision, { runId, taken });
  } catch (error) {
    await abandonImage(session, decision, { runId, open, point, mayBeActive, cause: error });
    throw error;
  }
  // The image is active: its snapshots stay, also if a later step fails.
  await journal.checkpoint(ACTIVE_POINT);
  const finished = { id: runId, aliases, keep: null };
  return { image, plan, aliases: await followUp(registry, finished, image, settings) };
}

async function take(
  { settings, host, domain, guard }: VolumeSession,
  { plan, active, description, agent, isWindows, hasManagedSave }: VolumeDecision,
  { runId, open: { folder, journal } }: { runId: string; open: OpenRun },
): Promise<TakenVolumes> {
  const { onEvent, signal, quiesce, config } = settings;
  const { timeouts } = config;
  const { name, uuid } = plan.domain;
  const onNote = (message: string) => warn(settings, message);
  const scope = new GuestScope({
    journal,
    acts: guestActs,
    context: { host, name, uuid },
    onNote,
  });
  const limitMs = freezeLimitMs(timeouts, { isWindows });
  const work = () =>
    takeVolumes({
      ...{
        host,
        domain,
        volumes: plan,
        active,
        hasManagedSave,
        description,
        mark: markOf(runId),
        imageId: runId,
      },
      ...{ inspection: { name, agent }, plan: { quiesce }, runPath: folder.path },
      ...{ journal, scope, timeouts, freezeLimitMs: limitMs, onEvent, signal },
    });
  if (!active) return work();
  const freezeMs = 2 * limitMs + GUARD_SLACK_MS;
  const options = { runPath: folder.path, freezeMs, guestMs: freezeMs };
  return underGuard({ name, guard, options, journal, scope, onEvent }, work);
}

/** A pool lists files that were made without it only after a refresh. */
async function showOverlays({ settings, host }: VolumeSession, plan: VolumePlan): Promise<void> {
  const made = plan.volumes.filter(({ overlay }) => overlay !== null);
  try {
    const { storage } = await host.work();
    for (const pool of new Set(made.map((volume) => volume.pool))) await storage.refreshPool(pool);
  } catch (error) {
    warn(
      settings,
      `a pool could not be refreshed: ${messageOf(error)}; virsh pool-refresh does it`,
    );
  }
}

/** The guard's deadline comes after that of this process, in case this process cannot keep its own. */
const GUARD_SLACK_MS = 2000;

async function activate(
  { onEvent, signal, properties }: SnapshotSettings,
  { plan, registry, description, inactiveXml }: VolumeDecision,
  { runId, taken }: { runId: string; taken: TakenVolumes },
): Promise<ImageRecord> {
  return runStep(onEvent, 'activate', async () => {
    await registry.markSaving(runId, { signal });
    const xml = scrubDomainXml(inactiveXml);
    const artefact = await registry.putArtefact(runId, 'domain.xml', xml, { signal });
    signal.throwIfAborted();
    return registry.activateImage(runId, {
      data: null,
      artefacts: [artefact],
      properties: volumeImageProperties(plan, description, taken, properties),
    });
  });
}

function warn({ onEvent }: SnapshotSettings, message: string): void {
  onEvent({ type: 'note', level: 'warning', step: 'volumes', message });
}
