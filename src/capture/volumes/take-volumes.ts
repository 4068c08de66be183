// Takes all volumes at one point in time: freezes the guest, makes a snapshot of each volume, thaws the guest.
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
  /** How long the guest's file systems were frozen; null if they were not. */
  freezeMs: number | null;
}

/**
 * When this rejects, some of the snapshots may exist; `rollbackVolumes` removes them.
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
  const isByRun = hold && (hold.how === 'paused' || hold.frozen.byRun);
  const watch = isByRun ? new HoldWatch(run, hold) : undefined;
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
  // A guest that was released too early wrote between one snapshot and the next.
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
 * Freezes or pauses the guest; undefined if it keeps running, or is paused already. Overlays are made
 * for all disks in one transaction, volumes one after the other, so an unfrozen guest is paused for them.
 */
async function holdGuest(run: VolumesRun): Promise<GuestHold | undefined> {
  const frozen = await freezeGuest(run);
  if (frozen) return { how: 'frozen', frozen };
  const { kind, volumes } = run.volumes;
  if (kind === 'overlay' || volumes.length === 1) return undefined;
  const { state } = await run.domain.getState();
  if (state !== 'running' && state !== 'blocked') return undefined;
  const message = `the guest is paused for a moment, so that its ${volumes.length} volumes are of one point in time`;
  run.onEvent({ type: 'note', level: 'info', step: 'volumes', message });
  const since = performance.now();
  await pauseGuest(run.scope, run.domain);
  return { how: 'paused', since };
}

/** @throws PublishError VOLUMES if a domain that was off was started meanwhile */
async function withoutHold(run: VolumesRun): Promise<TakenVolumes> {
  const { active, domain, hasManagedSave } = run;
  await checkTakenVolumes(run);
  if (active) return { consistency: 'crash', freezeMs: null };
  if (await domain.isActive()) {
    const message = `domain ${domain.name} was started while its volumes were taken, so no snapshot is kept`;
    throw new PublishError('VOLUMES', message, {
      step: 'volumes',
      retryable: true,
      hint: 'run it again',
    });
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
    const message = `libvirt made no snapshot of the volumes of domain ${run.inspection.name}: ${error.message}`;
    const hint = 'read the log of libvirtd, and check virsh pool-list --details';
    throw new PublishError('VOLUMES', message, { step: 'volumes', cause: error, hint });
  }
}

async function makeVolumes({ host, volumes, signal }: VolumesRun): Promise<void> {
  const { storage } = await host.work();
  const origins: { origin: Volume; snapshot: string }[] = [];
  for (const { pool, volume, snapshot } of volumes.volumes) {
    signal.throwIfAborted();
    const origin = await storage.volumeByName(pool, volume);
    if (!origin) throw missing(pool, volume);
    origins.push({ origin, snapshot });
  }
  for (const { origin, snapshot } of origins) {
    signal.throwIfAborted();
    await storage.createSnapshotVolume(origin, snapshot);
  }
}

/** Makes all overlays in one call: libvirt makes all of them and the guest uses them, or none. */
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

function missing(pool: string, volume: string): PublishError {
  const message = `volume ${volume} of pool ${pool} is missing`;
  return new PublishError('VOLUMES', message, {
    step: 'volumes',
    hint: `check virsh vol-list ${pool}`,
  });
}

function tooLate(run: VolumesRun, hold: GuestHold, heldMs: number): PublishError {
  const message = `the snapshots of domain ${run.inspection.name} took ${heldMs} ms, longer than the ${holdLimitMs(run, hold)} ms that it may be frozen or paused, so none is kept`;
  return new PublishError('QUIESCE', message, {
    step: 'volumes',
    retryable: true,
    hint: 'raise timeouts.freezeMs',
  });
}

function notOneMoment({ inspection }: VolumesRun): PublishError {
  const message = `another client thawed, reset or paused domain ${inspection.name} while its volumes were taken, so no snapshot is kept`;
  return new PublishError('QUIESCE', message, {
    step: 'volumes',
    retryable: true,
    hint: 'run it again',
  });
}

function describe({ consistency, freezeMs }: TakenVolumes): string {
  const frozen = freezeMs === null ? '' : `, frozen for ${freezeMs} ms`;
  return `${consistency}-consistent${frozen}`;
}
