// The live path: mirrors into deltas while the guest runs, ended at one point in time.
import { join } from 'node:path';
import { runStep } from '../events.ts';
import { createOverlay } from '../flatten/qemu-img.ts';
import {
  VIR_DOMAIN_UNDEFINE_KEEP_NVRAM,
  VIR_DOMAIN_UNDEFINE_KEEP_TPM,
} from '../libvirt/constants.ts';
import { saveMetadata } from '../run/domain-metadata.ts';
import { type MirrorData, undefine } from '../run/guest-acts.ts';
import { DOMAIN_XML_FILE, writeSecret } from '../run/run-folder.ts';
import { needsFullCopy } from './backing-chain.ts';
import type { CaptureRun, PointInTime, StillDisks } from './capture-run.ts';
import { giveToQemu, takeFromQemu } from './delta-owner.ts';
import type { InspectedDisk } from './inspect.ts';
import { awaitMirrors, startMirror } from './mirror.ts';
import { takePointInTime } from './point-in-time.ts';

/**
 * Fills a delta for each disk with what it holds above its backing file. When this resolves, the
 * guest is as it was; when it rejects, the caller's `scope.restore()` makes it so.
 * @throws PublishError QEMU_IMG, LIBVIRT, MIRROR, QUIESCE; the signal's reason.
 */
export async function captureLive(run: CaptureRun): Promise<StillDisks> {
  const { onEvent, scope, inspection, folder } = run;
  const disks = inspection.disks.map((inspected) => {
    const path = join(folder.scratch, `${inspected.disk.target}.delta.qcow2`);
    return { ...inspected, facts: belowDelta(inspected), path, format: 'qcow2', ours: true };
  });
  const mirrors = disks.map(({ disk, path }): MirrorData => ({ target: disk.target, delta: path }));
  await runStep(onEvent, 'delta', () => createDeltas(run, disks));
  if (run.plan.undefines.length > 0) {
    await runStep(onEvent, 'undefine', () => undefineDomain(run));
  }
  await runStep(onEvent, 'mirror', async () => {
    for (const mirror of mirrors) await startMirror(run, mirror);
    await awaitMirrors(run, mirrors);
  });
  const moment = await runStep(onEvent, 'quiesce', () => takePointInTime(run, mirrors), describe);
  for (const { path } of disks) await takeFromQemu(path);
  if (run.plan.undefines.length > 0) {
    await runStep(onEvent, 'redefine', () => scope.takeBack(undefine));
  }
  return { disks, ...moment };
}

/** A delta that has to hold all of its disk has no layers below it. */
function belowDelta({ facts }: InspectedDisk): InspectedDisk['facts'] {
  return needsFullCopy(facts) ? { ...facts, backingChain: [], marks: [] } : facts;
}

/**
 * NOTE: libvirt does not look at what a delta's backing file is (REUSE_EXT); with another one than
 * the disk's own the mirror reports success and the image is corrupt.
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

/**
 * NOTE: blockRebase copies only for a transient domain ("domain is not transient"). Without
 * KEEP_NVRAM libvirt unlinks the firmware's variables at once, though the guest runs.
 */
async function undefineDomain(run: CaptureRun): Promise<void> {
  const { domain, inspection, folder, scope } = run;
  const xmlPath = join(folder.path, DOMAIN_XML_FILE);
  await writeSecret(xmlPath, inspection.inactiveXml);
  const { metadataPath, metadata } = await saveMetadataIfAny(run);
  const { nvram, firmware, tpm } = inspection.description;
  const keepNvram = nvram !== null || firmware === 'uefi';
  const flags =
    (keepNvram ? VIR_DOMAIN_UNDEFINE_KEEP_NVRAM : 0) | (tpm ? VIR_DOMAIN_UNDEFINE_KEEP_TPM : 0);
  const { autostart, inactiveXml: xml } = inspection;
  const data = { xmlPath, autostart, metadataPath, saved: { xml, metadata } };
  await scope.perform(undefine, data, () => domain.undefineFlags(flags));
}

async function saveMetadataIfAny({ domain, inspection, folder }: CaptureRun) {
  if (inspection.snapshots + inspection.checkpoints === 0) {
    return { metadataPath: null, metadata: null };
  }
  const metadataPath = join(folder.path, 'metadata.json');
  return { metadataPath, metadata: await saveMetadata(domain, metadataPath) };
}

function describe({ consistency, freezeMs, pauseMs }: PointInTime): string {
  const frozen = freezeMs === null ? '' : `, frozen for ${freezeMs} ms`;
  const paused = pauseMs === null ? '' : `, paused for ${pauseMs} ms`;
  return `${consistency}-consistent${frozen}${paused}`;
}
