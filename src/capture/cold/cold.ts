// The cold mode: saves the guest's memory, clones or reads its disks, and starts the guest from the save.
import { messageOf, PublishError } from '../../core/errors.ts';
import { runStep } from '../../core/events.ts';
import { pollUntil } from '../../core/poll.ts';
import { assertFilesNotReplaced } from '../../domain/layers-open.ts';
import { missingNeeds } from '../../domain/missing-needs.ts';
import { VIR_DOMAIN_AFFECT_LIVE } from '../../libvirt/ffi/constants.ts';
import { parseDomainXml } from '../../libvirt/xml/domain-xml.ts';
import { detach, save } from '../../run/acts/guest-acts.ts';
import { assertNotTakenOver } from '../../run/guard/take-over.ts';
import type { CaptureRun, StillDisk, StillDisks, UseStillDisks } from '../capture-run.ts';
import { changed, checkSavedLayers, lookAgain } from '../look-again.ts';
import { cloneDisks, noteNoClone, obstacleToClone } from './clone.ts';
import { describeMissing } from './cold-obstacles.ts';
import { SaveWatch } from './save-watch.ts';
import { setClock } from './set-clock.ts';

/** Clones still to be used, with the guest running again; or the result of `use`. */
export type ColdCapture<T> = { clones: StillDisks } | { result: T };

/**
 * Holds a running or paused domain in a managed save while its disks are cloned; if one cannot be
 * cloned, while `use` reads them. When this resolves, the guest is restored; when it rejects, the
 * caller's `scope.restore()` restores it.
 * @throws PublishError MANAGED_SAVE, LIBVIRT; the signal's reason; what `use` throws.
 */
export async function captureCold<T>(
  planned: CaptureRun,
  use: UseStillDisks<T>,
): Promise<ColdCapture<T>> {
  const run = { ...planned, inspection: await lookAgain(planned) };
  const { onEvent, plan, scope } = run;
  const obstacle = await obstacleToClone(run);
  if (obstacle !== undefined) noteNoClone(run, obstacle);
  await assertFilesNotReplaced(run.inspection);
  if (plan.detaches.length > 0) await runStep(onEvent, 'detach', () => detachDevices(run));
  await assertPresent(run);
  await runStep(onEvent, 'save', () => saveGuest(run));
  await assertAsleep(run);
  await checkSavedLayers(run);
  await run.atPointInTime();
  const cloned = obstacle === undefined ? await cloneDisks(run) : undefined;
  const captured = cloned
    ? { clones: toStillDisks(run, cloned) }
    : { result: await use(stillDisks(run)) };
  await assertAsleep(run);
  await runStep(onEvent, 'start', () => scope.undo(save));
  await setClock(run);
  if (plan.detaches.length > 0) await runStep(onEvent, 'attach', () => scope.undo(detach));
  return captured;
}

/**
 * Checks that neither a guard nor another client has started the guest while its disks were read.
 * @throws PublishError MANAGED_SAVE, DOMAIN_BUSY if the guest is no longer in its managed save
 */
async function assertAsleep({ host, inspection, folder }: CaptureRun): Promise<void> {
  await assertNotTakenOver(folder.path, 'save');
  const domain = await host.domain(inspection.uuid);
  if (domain && !(await domain.isActive()) && (await domain.hasManagedSaveImage())) return;
  throw changed(inspection, 'it was started or undefined while its disks were read');
}

/**
 * Reads the disks of a domain that is off, and leaves it off.
 *
 * NOTE: qemu-img holds a lock on a disk while it reads, so a start of the domain fails meanwhile
 * with a clear error from QEMU. The disk never changes under the reader.
 */
export async function captureOffline<T>(planned: CaptureRun, use: UseStillDisks<T>): Promise<T> {
  const run = { ...planned, inspection: await lookAgain(planned) };
  await run.atPointInTime();
  return use(stillDisks(run));
}

function stillDisks(run: CaptureRun): StillDisks {
  const disks = run.inspection.disks.map(({ disk, facts }) => {
    return { disk, facts, path: disk.source, format: disk.format, isScratch: false as const };
  });
  return toStillDisks(run, disks);
}

/** The disks of a guest in a managed save are in the state that a power cut would leave. */
function toStillDisks({ inspection }: CaptureRun, disks: readonly StillDisk[]): StillDisks {
  const { active, hasManagedSave } = inspection;
  const consistency = active || hasManagedSave ? 'crash' : 'offline';
  return { disks, consistency, freezeMs: null, pauseMs: null };
}

async function detachDevices({ plan, scope, domain, timeouts, signal }: CaptureRun): Promise<void> {
  for (const device of plan.detaches) {
    await scope.perform(detach, device, async () => {
      await domain.detachDeviceFlags(device.xml, VIR_DOMAIN_AFFECT_LIVE);
      // The call only requests the detach; the guest releases the device later.
      const isGone = async () => {
        const { hostdevs } = parseDomainXml(await domain.getXMLDesc(0));
        return !hostdevs.some(({ address }) => address === device.address);
      };
      const limits = { timeoutMs: timeouts.detachMs, pollMs: 200, signal };
      if (!(await pollUntil(isGone, limits))) throw notDetached(domain.name, device.address);
    });
  }
}

function notDetached(name: string, address: string): PublishError {
  const message = `the guest of domain ${name} did not release device ${address}, which QEMU cannot save`;
  const hint = 'raise timeouts.detachMs, or use --mode live';
  return new PublishError('MANAGED_SAVE', message, { step: 'detach', hint });
}

/** Checks again that this host has all that a start needs, since the inspection may be old. */
async function assertPresent({ domain, host }: CaptureRun): Promise<void> {
  const missing = await missingNeeds(domain, await host.work(), await domain.getXMLDesc(0));
  if (missing.length === 0) return;
  throw new PublishError('MANAGED_SAVE', describeMissing(domain.name, missing), {
    step: 'save',
    hint: 'restore what is missing, or use --mode live',
  });
}

async function saveGuest(run: CaptureRun): Promise<void> {
  const { domain, inspection, scope, signal } = run;
  signal.throwIfAborted();
  const watch = new SaveWatch(run);
  try {
    await scope.perform(save, {}, () => watch.around(domain.managedSave(0)));
  } catch (error) {
    signal.throwIfAborted();
    // An error of the journal: the save was not requested, or has succeeded.
    if (error instanceof PublishError && error.step === 'space') throw error;
    throw new PublishError(
      'MANAGED_SAVE',
      `the managed save of domain ${inspection.name} failed: ${watch.isLate ? 'it took longer than timeouts.managedSaveMs' : messageOf(error)}`,
      {
        step: 'save',
        cause: error,
        hint: 'check the space in /var/lib/libvirt/qemu/save and for devices that cannot be saved, or use --mode live',
      },
    );
  }
}
