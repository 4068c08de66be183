// The cold path: the guest's memory is saved, its disks cloned or read, and the guest started from the save.
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
import { goneForStart } from './cold-obstacles.ts';
import { SaveWatch } from './save-watch.ts';
import { setClock } from './set-clock.ts';

/** Clones that are still to be used, with the guest running again; or what `use` has made already. */
export type ColdCapture<T> = { clones: StillDisks } | { result: T };

/**
 * Holds a running or paused domain in a managed save while its disks are cloned; where one cannot
 * be, while `use` reads them. When this resolves, the guest is as it was; when it rejects, the caller's
 * `scope.restore()` makes it so.
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
 * A guard that came in between has started the guest below the reader; so may another client.
 * @throws PublishError MANAGED_SAVE, DOMAIN_BUSY if the guest does not hang in its managed save any more.
 */
async function assertAsleep({ host, inspection, folder }: CaptureRun): Promise<void> {
  await assertNotTakenOver(folder.path, 'save');
  const domain = await host.domain(inspection.uuid);
  if (domain && !(await domain.isActive()) && (await domain.hasManagedSaveImage())) return;
  throw changed(inspection, 'it was started or undefined while its disks were read');
}

/**
 * Reads the disks of a domain that is switched off, and leaves it off.
 *
 * NOTE: qemu-img holds its lock on a disk while it reads, so a start of the domain in between
 * fails with a clear error from QEMU, and never changes the disk below the reader.
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

/** Disks whose guest hangs in a managed save are as a power cut would leave them. */
function toStillDisks({ inspection }: CaptureRun, disks: readonly StillDisk[]): StillDisks {
  const { active, hasManagedSave } = inspection;
  const consistency = active || hasManagedSave ? 'crash' : 'offline';
  return { disks, consistency, freezeMs: null, pauseMs: null };
}

async function detachDevices({ plan, scope, domain, timeouts, signal }: CaptureRun): Promise<void> {
  for (const device of plan.detaches) {
    await scope.perform(detach, device, async () => {
      await domain.detachDeviceFlags(device.xml, VIR_DOMAIN_AFFECT_LIVE);
      // The guest lets go of a device in its own time: the call only asks it to.
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
  const message = `the guest of domain ${name} did not let go of device ${address}, with which it cannot be saved; raise timeouts.detachMs, or use --mode live`;
  return new PublishError('MANAGED_SAVE', message, { step: 'detach' });
}

/** Some time has passed since the inspection: what a start needs is looked for once more. */
async function assertPresent({ domain, host }: CaptureRun): Promise<void> {
  const missing = await missingNeeds(domain, await host.work(), await domain.getXMLDesc(0));
  if (missing.length === 0) return;
  const message = `${goneForStart(domain.name, missing)}; put it back, or use --mode live`;
  throw new PublishError('MANAGED_SAVE', message, { step: 'save' });
}

async function saveGuest(run: CaptureRun): Promise<void> {
  const { domain, inspection, scope, signal } = run;
  signal.throwIfAborted();
  const watch = new SaveWatch(run);
  try {
    await scope.perform(save, {}, () => watch.around(domain.managedSave(0)));
  } catch (error) {
    signal.throwIfAborted();
    // The journal's: the save itself was not asked for, or has gone well.
    if (error instanceof PublishError && error.step === 'space') throw error;
    throw new PublishError(
      'MANAGED_SAVE',
      `the managed save of domain ${inspection.name} failed: ${watch.isLate ? 'it took too long for timeouts.managedSaveMs' : messageOf(error)}; look at the free space below the managed-save directory, and for devices that cannot be saved`,
      { step: 'save', cause: error },
    );
  }
}
