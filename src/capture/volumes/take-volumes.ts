// One point in time of all volumes: freeze, a snapshot of each, thaw.
import { PublishError } from '../../core/errors.ts';
import { runStep } from '../../core/events.ts';
import type { Consistency } from '../../core/model.ts';
import { imageMark } from '../../domain/image-mark.ts';
import { isConnectionLost, isLibvirtError } from '../../libvirt/errors.ts';
import {
  VIR_DOMAIN_SNAPSHOT_CREATE_ATOMIC,
  VIR_DOMAIN_SNAPSHOT_CREATE_DISK_ONLY,
} from '../../libvirt/ffi/constants.ts';
import type { Volume } from '../../libvirt/storage.ts';
import { overlaySnapshotXml } from '../../libvirt/xml/storage-xml.ts';
import { pause, pauseGuest } from '../../run/acts/chain-acts.ts';
import { assertNotTakenOver } from '../../run/guard/take-over.ts';
import { holdLimitMs } from '../freeze-limit.ts';
import type { GuestHold } from '../point-in-time.ts';
import { freezeGuest, thawGuest } from '../quiesce.ts';
import { checkTakenVolumes, checkVolumes } from './check-volumes.ts';
import { HoldWatch, sinceOf } from './hold-watch.ts';
import { REFUSED_POINT, TAKEN_POINT, TAKING_POINT } from './needed-volumes.ts';
import type { VolumesRun } from './volumes-run.ts';

/** How the volumes were taken. */
export interface TakenVolumes {
  consistency: Consistency;
  /** How long the guest's file systems were frozen; null where they were not. */
  freezeMs: number | null;
}

/**
 * When this rejects, some of the snapshots may be there; `rollBackVolumes` removes them.
 * @throws PublishError VOLUMES, QUIESCE; the signal's reason.
 */
export async function takeVolumes(run: VolumesRun): Promise<TakenVolumes> {
  return runStep(run.onEvent, 'volumes', () => take(run), describe);
}

async function take(run: VolumesRun): Promise<TakenVolumes> {
  const { journal, active, signal } = run;
  signal.throwIfAborted();
  await checkVolumes(run);
  const hold = active ? await holdGuest(run) : undefined;
  const isOurs = hold && (hold.how === 'paused' || hold.frozen.byUs);
  const watch = isOurs ? new HoldWatch(run, hold) : undefined;
  try {
    await journal.checkpoint(TAKING_POINT);
    await makeSnapshots(run);
  } finally {
    watch?.stop();
  }
  await journal.checkpoint(TAKEN_POINT);
  if (!hold) return withoutHold(run);
  if (watch?.isOver) throw tooLate(run, hold, Math.round(performance.now() - sinceOf(hold)));
  const { heldMs, ...taken } = await release(run, hold);
  // Let go before its time, the guest wrote between one snapshot and the next.
  if (heldMs !== null && heldMs > holdLimitMs(run, hold)) throw tooLate(run, hold, heldMs);
  await assertNotTakenOver(run.runPath, 'quiesce');
  await checkTakenVolumes(run);
  if (hold.how === 'frozen' && taken.consistency === 'crash') throw notOneMoment(run);
  return taken;
}

async function release(
  run: VolumesRun,
  hold: GuestHold,
): Promise<TakenVolumes & { heldMs: number | null }> {
  if (hold.how === 'frozen') {
    const thawed = await thawGuest(run, hold.frozen);
    return { ...thawed, heldMs: thawed.freezeMs };
  }
  const { state } = await run.domain.getState();
  const heldMs = Math.round((await run.scope.undo(pause)) - hold.since);
  if (state !== 'paused') throw notOneMoment(run);
  return { consistency: 'crash', freezeMs: null, heldMs };
}

/**
 * Undefined where the guest runs on, or stands still already. Overlays are made for all disks in one
 * transaction; volumes one after the other, so a guest that is not frozen is paused for them.
 */
async function holdGuest(run: VolumesRun): Promise<GuestHold | undefined> {
  const frozen = await freezeGuest(run);
  if (frozen) return { how: 'frozen', frozen };
  const { kind, volumes } = run.volumes;
  if (kind === 'overlay' || volumes.length === 1) return undefined;
  const { state } = await run.domain.getState();
  if (state !== 'running' && state !== 'blocked') return undefined;
  const message = `the guest is paused for the moment, so that its ${volumes.length} volumes are of one point in time`;
  run.onEvent({ type: 'note', level: 'info', step: 'volumes', message });
  const since = performance.now();
  await pauseGuest(run.scope, run.domain);
  return { how: 'paused', since };
}

/** @throws PublishError VOLUMES where a domain that was off has been started meanwhile. */
async function withoutHold(run: VolumesRun): Promise<TakenVolumes> {
  const { active, domain, hasManagedSave } = run;
  await checkTakenVolumes(run);
  if (active) return { consistency: 'crash', freezeMs: null };
  if (await domain.isActive()) {
    const message = `domain ${domain.name} was off, and was started while its volumes were taken; none of the snapshots is kept. Run it again`;
    throw new PublishError('VOLUMES', message, { step: 'volumes', retryable: true });
  }
  return { consistency: hasManagedSave ? 'crash' : 'offline', freezeMs: null };
}

async function makeSnapshots(run: VolumesRun): Promise<void> {
  try {
    if (run.volumes.kind === 'volume') await makeVolumes(run);
    else await makeOverlays(run);
  } catch (error) {
    run.signal.throwIfAborted();
    if (!isLibvirtError(error)) throw error;
    if (!isConnectionLost(error)) await run.journal.checkpoint(REFUSED_POINT);
    const message = `libvirt made no snapshot of the volumes of domain ${run.inspection.name}: ${error.message}; none is kept. See the log of libvirtd, and virsh pool-list --details`;
    throw new PublishError('VOLUMES', message, { step: 'volumes', cause: error });
  }
}

async function makeVolumes({ host, volumes, signal }: VolumesRun): Promise<void> {
  const { storage } = await host.work();
  const origins: { origin: Volume; snapshot: string }[] = [];
  for (const { pool, volume, snapshot } of volumes.volumes) {
    signal.throwIfAborted();
    const origin = await storage.volumeByName(pool, volume);
    if (!origin) throw gone(pool, volume);
    origins.push({ origin, snapshot });
  }
  for (const { origin, snapshot } of origins) {
    signal.throwIfAborted();
    await storage.createSnapshotVolume(origin, snapshot);
  }
}

/** One call for all disks: libvirt makes every overlay and lets the guest go on in them, or none. */
async function makeOverlays(run: VolumesRun): Promise<void> {
  const { domain, description, volumes, mark, imageId } = run;
  const overlays = new Map(volumes.volumes.map(({ target, overlay }) => [target, overlay]));
  const disks = description.disks.map(({ target }) => ({
    target,
    overlay: overlays.get(target) ?? null,
  }));
  const xml = overlaySnapshotXml(mark, imageMark(imageId), disks);
  const flags = VIR_DOMAIN_SNAPSHOT_CREATE_DISK_ONLY | VIR_DOMAIN_SNAPSHOT_CREATE_ATOMIC;
  await domain.snapshotCreateXML(xml, flags);
}

function gone(pool: string, volume: string): PublishError {
  const message = `volume ${volume} of pool ${pool} is gone; see virsh vol-list`;
  return new PublishError('VOLUMES', message, { step: 'volumes' });
}

function tooLate(run: VolumesRun, hold: GuestHold, heldMs: number): PublishError {
  const message = `the snapshots of domain ${run.inspection.name} took ${heldMs} ms, and it is frozen or paused for ${holdLimitMs(run, hold)} ms at most; none is kept. Raise timeouts.freezeMs`;
  return new PublishError('QUIESCE', message, { step: 'volumes', retryable: true });
}

function notOneMoment({ inspection }: VolumesRun): PublishError {
  const message = `domain ${inspection.name} was thawed, reset or paused by somebody else while its volumes were taken; none of the snapshots is kept. Run it again`;
  return new PublishError('QUIESCE', message, { step: 'volumes', retryable: true });
}

function describe({ consistency, freezeMs }: TakenVolumes): string {
  const frozen = freezeMs === null ? '' : `, frozen for ${freezeMs} ms`;
  return `${consistency}-consistent${frozen}`;
}
