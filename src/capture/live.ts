// The live path: a mirror into a delta while the guest runs, ended at one point in time.
import { join } from 'node:path';
import { runStep } from '../events.ts';
import { createOverlay } from '../flatten/qemu-img.ts';
import {
  VIR_DOMAIN_UNDEFINE_KEEP_NVRAM,
  VIR_DOMAIN_UNDEFINE_KEEP_TPM,
} from '../libvirt/constants.ts';
import { saveMetadata } from '../run/domain-metadata.ts';
import { freeze, mirror, undefine } from '../run/guest-acts.ts';
import { DOMAIN_XML_FILE, writeSecret } from '../run/run-folder.ts';
import { refuseIfTakenOver } from '../run/take-over.ts';
import type { CaptureRun, StillDisk } from './capture-run.ts';
import { awaitMirror, endMirror, startMirror } from './mirror.ts';
import { freezeGuest } from './quiesce.ts';

/**
 * Fills a delta with what the disk holds above its backing file. When this resolves, the guest is
 * as it was; when it rejects, the caller's `scope.restore()` makes it so.
 * @throws PublishError QEMU_IMG, LIBVIRT, MIRROR, QUIESCE; the signal's reason.
 */
export async function captureLive(run: CaptureRun): Promise<StillDisk> {
  const { onEvent, scope } = run;
  const delta = join(run.folder.scratch, 'delta.qcow2');
  await runStep(onEvent, 'delta', () => createDelta(run, delta));
  if (run.plan.undefines.length > 0) {
    await runStep(onEvent, 'undefine', () => undefineDomain(run));
  }
  await runStep(onEvent, 'mirror', async () => {
    await startMirror(run, delta);
    await awaitMirror(run, delta);
  });
  const frozen = await runStep(onEvent, 'quiesce', () => takePointInTime(run, delta), describe);
  if (run.plan.undefines.length > 0) {
    await runStep(onEvent, 'redefine', () => scope.takeBack(undefine));
  }
  return { path: delta, format: 'qcow2', ours: true, ...frozen };
}

/**
 * NOTE: libvirt does not look at what the delta's backing file is (REUSE_EXT); with another one
 * than the disk's own the mirror reports success and the image is corrupt.
 */
async function createDelta({ inspection, signal }: CaptureRun, path: string): Promise<void> {
  const { virtualSize, backingChain } = inspection.facts;
  await createOverlay({
    path,
    format: 'qcow2',
    virtualSize,
    backing: backingChain[0] ?? null,
    signal,
  });
}

/**
 * NOTE: blockRebase copies only for a transient domain ("domain is not transient"). Without
 * KEEP_NVRAM libvirt unlinks the firmware's variables at once, though the guest runs.
 */
async function undefineDomain(run: CaptureRun): Promise<void> {
  const { domain, inspection, folder, scope } = run;
  const xmlPath = join(folder.path, DOMAIN_XML_FILE);
  await writeSecret(xmlPath, inspection.inactiveXml);
  const metadataPath = await saveMetadataIfAny(run);
  const { nvram, firmware, tpm } = inspection.description;
  const keepNvram = nvram !== null || firmware === 'uefi';
  const flags =
    (keepNvram ? VIR_DOMAIN_UNDEFINE_KEEP_NVRAM : 0) | (tpm ? VIR_DOMAIN_UNDEFINE_KEEP_TPM : 0);
  const { autostart } = inspection;
  await scope.perform(undefine, { xmlPath, autostart, metadataPath }, () =>
    domain.undefineFlags(flags),
  );
}

async function saveMetadataIfAny({
  domain,
  inspection,
  folder,
}: CaptureRun): Promise<string | null> {
  if (inspection.snapshots + inspection.checkpoints === 0) return null;
  const path = join(folder.path, 'metadata.json');
  await saveMetadata(domain, path);
  return path;
}

/** Freeze, abort the job, thaw. The point in time is the moment of the abort. */
async function takePointInTime(
  run: CaptureRun,
  delta: string,
): Promise<Pick<StillDisk, 'consistency' | 'freezeMs'>> {
  run.signal.throwIfAborted();
  const startedAt = performance.now();
  const frozen = await freezeGuest(run);
  await endMirror(run, delta, frozen ? { frozenAt: startedAt } : {});
  // A guard that came in between has thawed the guest, or has ended the mirror before its time.
  await refuseIfTakenOver(run.folder.path, 'quiesce');
  await run.scope.settle(mirror);
  await run.atPointInTime();
  if (!frozen) return { consistency: 'crash', freezeMs: null };
  await run.scope.takeBack(freeze);
  return { consistency: 'filesystem', freezeMs: Math.round(performance.now() - startedAt) };
}

function describe({ consistency, freezeMs }: Pick<StillDisk, 'consistency' | 'freezeMs'>): string {
  return freezeMs === null
    ? `${consistency}-consistent`
    : `${consistency}-consistent, frozen for ${freezeMs} ms`;
}
