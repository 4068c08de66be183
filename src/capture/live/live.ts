// The live mode: mirrors disks into deltas while the guest runs, and ends the mirrors at one point in time.
import { join } from 'node:path';
import { PublishError } from '../../core/errors.ts';
import { runStep } from '../../core/events.ts';
import { needsFullCopy } from '../../domain/chain/backing-chain.ts';
import type { InspectedDisk } from '../../domain/inspect.ts';
import { assertLayersOpen } from '../../domain/layers-open.ts';
import { isLibvirtError, VIR_ERR } from '../../libvirt/errors.ts';
import { createOverlay } from '../../qemu/qemu-img.ts';
import { type MirrorData, mirror as mirrorAct, undefine } from '../../run/acts/guest-acts.ts';
import type { CaptureRun, PointInTime, StillDisks } from '../capture-run.ts';
import { checkLayers, lookAgain } from '../look-again.ts';
import { takePointInTime } from '../point-in-time.ts';
import { undefineDomain } from '../undefine.ts';
import { giveToQemu, takeFromQemu } from './delta-owner.ts';
import { awaitMirrors, startMirror } from './mirror.ts';

/**
 * Fills a delta for each disk with its content above its backing file. When this resolves, the guest
 * is restored; when it rejects, the caller's `scope.restore()` restores it.
 * @throws PublishError QEMU_IMG, LIBVIRT, MIRROR, QUIESCE; the signal's reason.
 */
export async function captureLive(planned: CaptureRun): Promise<StillDisks> {
  const run = { ...planned, inspection: await lookAgain(planned) };
  try {
    return await fillDeltas(run);
  } catch (error) {
    throw isLibvirtError(error, VIR_ERR.NO_DOMAIN) ? wentOff(run, error) : error;
  }
}

/** A transient domain vanishes when its guest shuts down. */
function wentOff({ inspection }: CaptureRun, cause: Error): PublishError {
  const message = `the mirror of domain ${inspection.name} ended: the guest was switched off`;
  const hint = 'run it again: a domain that is off needs no mirror';
  return new PublishError('MIRROR', message, { step: 'mirror', cause, hint });
}

async function fillDeltas(run: CaptureRun): Promise<StillDisks> {
  const { onEvent, scope, inspection, folder } = run;
  const disks = inspection.disks.map((inspected) => {
    const path = join(folder.scratch, `${inspected.disk.target}.delta.qcow2`);
    return {
      ...inspected,
      facts: belowDelta(inspected),
      path,
      format: 'qcow2',
      isScratch: true as const,
    };
  });
  const mirrors = disks.map(({ disk, facts, path }): MirrorData => {
    const { target, source, format } = disk;
    const isShallow = facts.backingChain.length > 0;
    return { target, delta: path, source: disk.remote ? null : source, format, isShallow };
  });
  await runStep(onEvent, 'delta', () => createDeltas(run, disks));
  if (run.plan.undefines.length > 0) {
    await runStep(onEvent, 'undefine', () => undefineDomain(run));
  }
  await runStep(onEvent, 'mirror', async () => {
    for (const mirror of mirrors) await startMirror(run, mirror);
    // From here on libvirt refuses every other block job and snapshot on these disks.
    await checkLayers(run);
    await assertLayersOpen(inspection, inspection.disks, onEvent);
    await awaitMirrors(run, mirrors);
  });
  const moment = await runStep(onEvent, 'quiesce', () => takePointInTime(run, mirrors), describe);
  // If another client pivoted a mirror at the very end, the guest now uses the delta.
  await checkLayers(run);
  await scope.markUndone(mirrorAct);
  for (const { path } of disks) await takeFromQemu(path);
  if (run.plan.undefines.length > 0) {
    await runStep(onEvent, 'redefine', () => scope.undo(undefine));
  }
  return { disks, ...moment };
}

/** A delta that is a full copy has no layers below it. */
function belowDelta({ facts }: InspectedDisk): InspectedDisk['facts'] {
  return needsFullCopy(facts) ? { ...facts, backingChain: [], marks: [] } : facts;
}

/**
 * NOTE: libvirt does not check a delta's backing file (REUSE_EXT); with another one than the disk's own
 * the mirror reports success and the image is corrupt.
 */
async function createDeltas(
  { signal, domain }: CaptureRun,
  disks: readonly StillDisks['disks'][number][],
): Promise<void> {
  for (const { facts, path } of disks) {
    const { virtualSize, backingChain } = facts;
    const backing = backingChain[0] ?? null;
    await createOverlay({ path, format: 'qcow2', virtualSize, backing, signal });
    await giveToQemu(domain, path);
  }
}

function describe({ consistency, freezeMs, pauseMs }: PointInTime): string {
  const frozen = freezeMs === null ? '' : `, frozen for ${freezeMs} ms`;
  const paused = pauseMs === null ? '' : `, paused for ${pauseMs} ms`;
  return `${consistency}-consistent${frozen}${paused}`;
}
