// The mirror: started, watched until it is ready, and ended at the point in time.
import { messageOf, PublishError } from '../errors.ts';
import {
  VIR_DOMAIN_BLOCK_COPY_REUSE_EXT,
  VIR_DOMAIN_BLOCK_COPY_SHALLOW,
  VIR_DOMAIN_BLOCK_COPY_TRANSIENT_JOB,
  VIR_DOMAIN_BLOCK_REBASE_COPY,
  VIR_DOMAIN_BLOCK_REBASE_REUSE_EXT,
  VIR_DOMAIN_BLOCK_REBASE_SHALLOW,
} from '../libvirt/constants.ts';
import type { BlockJobInfo, Domain } from '../libvirt/domain.ts';
import { parseDomainXml } from '../libvirt/domain-xml.ts';
import { isLibvirtError, VIR_ERR } from '../libvirt/errors.ts';
import { mirrorTargetXml } from '../libvirt/mirror-target-xml.ts';
import { pollUntil } from '../poll.ts';
import { freeze, mirror } from '../run/guest-acts.ts';
import type { CaptureRun } from './capture-run.ts';
import { StallWatch } from './stall-watch.ts';

type DiskErrors = Awaited<ReturnType<Domain['getDiskErrors']>>;

const MIB = 1024 * 1024;
const MIN_ABORT_MS = 1000;

/** @throws PublishError MIRROR where libvirt refuses the job. */
export async function startMirror(run: CaptureRun, delta: string): Promise<void> {
  const { scope, inspection, plan } = run;
  const { target } = inspection.disk;
  try {
    await scope.perform(mirror, { target, delta }, () =>
      plan.method === 'copy' ? startCopy(run, delta) : startRebase(run, delta),
    );
  } catch (error) {
    if (!isLibvirtError(error)) throw error;
    throw new PublishError(
      'MIRROR',
      `libvirt did not start the mirror of ${target}: ${error.message}; QEMU's user must be able to reach ${delta} (o+x on each folder above it)`,
      { step: 'mirror', cause: error },
    );
  }
}

async function startRebase({ domain, inspection, bandwidthMib }: CaptureRun, delta: string) {
  const flags =
    VIR_DOMAIN_BLOCK_REBASE_COPY |
    VIR_DOMAIN_BLOCK_REBASE_REUSE_EXT |
    VIR_DOMAIN_BLOCK_REBASE_SHALLOW;
  await domain.blockRebase(inspection.disk.target, delta, bandwidthMib, flags);
}

/** NOTE: TRANSIENT_JOB (libvirt 3.5) lets a persistent domain be copied; blockRebase refuses it. */
async function startCopy({ domain, inspection, bandwidthMib }: CaptureRun, delta: string) {
  const flags =
    VIR_DOMAIN_BLOCK_COPY_TRANSIENT_JOB |
    VIR_DOMAIN_BLOCK_COPY_REUSE_EXT |
    VIR_DOMAIN_BLOCK_COPY_SHALLOW;
  const params = bandwidthMib === 0 ? {} : { bandwidthBytes: bandwidthMib * MIB };
  await domain.blockCopy(inspection.disk.target, mirrorTargetXml(delta), params, flags);
}

/**
 * Waits until the mirror is in sync with the disk.
 * @throws PublishError MIRROR where the job vanishes, stalls, or is not ready in time.
 */
export async function awaitMirror(run: CaptureRun, delta: string): Promise<void> {
  const { timeouts, signal } = run;
  const stall = new StallWatch(timeouts.mirrorStallMs);
  const ready = await pollUntil(() => isReady(run, delta, stall), {
    timeoutMs: timeouts.mirrorMs,
    pollMs: timeouts.pollMs,
    signal,
  });
  if (ready) return;
  throw failed(
    run,
    `was not ready after ${timeouts.mirrorMs / 1000} s; a guest that writes much may never get there: raise timeouts.mirrorMs or --bandwidth, or use --mode cold`,
  );
}

/**
 * NOTE: libvirt holds `cur` at `end - 1` until the mirror is ready, reports 0 of 1 for a job that
 * has not begun, and 0 of 0 for none at all: only the live XML says that it is ready.
 */
async function isReady(run: CaptureRun, delta: string, stall: StallWatch): Promise<boolean> {
  const job = await readJob(run);
  if (!job) throw await vanished(run);
  run.onEvent({ type: 'progress', step: 'mirror', bytes: job.cur, total: job.end });
  if (job.end - job.cur <= 1 && (await isMirrorReady(run, delta))) return true;
  if (stall.isStalled(job.cur)) {
    const seconds = run.timeouts.mirrorStallMs / 1000;
    throw failed(run, `copied nothing for ${seconds} s (${job.cur} of ${job.end} bytes)`);
  }
  return false;
}

async function readJob({ domain, inspection }: CaptureRun): Promise<BlockJobInfo | undefined> {
  try {
    return await domain.blockJobInfo(inspection.disk.target);
  } catch (error) {
    // The guest was switched off: a transient domain is gone, a persistent one not running.
    if (isOff(error)) return undefined;
    throw error;
  }
}

async function isMirrorReady({ domain, inspection }: CaptureRun, delta: string): Promise<boolean> {
  const { disks } = parseDomainXml(await domain.getXMLDesc(0));
  const disk = disks.find(({ target }) => target === inspection.disk.target);
  return disk?.mirror?.path === delta && disk.mirror.ready === 'yes';
}

/** A full disk has a code of its own. */
async function vanished(run: CaptureRun): Promise<PublishError> {
  await run.checkReserve();
  return failed(run, await causeOfDeath(run));
}

/** A failed job leaves no error behind: it is gone, and what can be known is asked for. */
async function causeOfDeath({ host, inspection }: CaptureRun): Promise<string> {
  const domain = await host.domain(inspection.uuid);
  const errors = domain && (await diskErrors(domain));
  if (!errors) return 'ended: the guest was switched off meanwhile';
  const told = errors.map(({ disk, error }) => `${disk}: ${error}`).join(', ') || 'none';
  return `ended before it was ready, and libvirt knows no block job any more (disk errors of the guest: ${told}); see whether the work directory is full, and the domain's log below /var/log/libvirt/qemu`;
}

/** Undefined where the guest is off, or goes off while it is asked: it may be gone altogether then. */
async function diskErrors(domain: Domain): Promise<DiskErrors | undefined> {
  try {
    return (await domain.isActive()) ? await domain.getDiskErrors() : undefined;
  } catch (error) {
    if (isOff(error)) return undefined;
    throw error;
  }
}

function isOff(error: unknown): boolean {
  return (
    isLibvirtError(error, VIR_ERR.NO_DOMAIN) || isLibvirtError(error, VIR_ERR.OPERATION_INVALID)
  );
}

/**
 * Ends the mirror and keeps the old disk: the delta stays as the disk was at this moment. Where the
 * guest is frozen and libvirt does not answer in time, it is thawed on the other connection.
 *
 * NOTE: an abort resolves also where the job ran out of space at that very moment (libvirt 9.0,
 * QEMU 7.2: exit 0, and the job's event says `canceled`), and the delta is incomplete then. So the
 * space is looked at on both sides of the abort: with the reserve free there was no lack of it.
 * @throws PublishError MIRROR where the job was gone or did not end in time; NO_SPACE
 */
export async function endMirror(
  run: CaptureRun,
  delta: string,
  { frozenAt }: { frozenAt?: number },
): Promise<void> {
  await run.checkReserve();
  if (!(await isMirrorReady(run, delta))) throw await vanished(run);
  const aborting = run.domain.blockJobAbort(run.inspection.disk.target, 0);
  const outcome = await Promise.race([
    aborting.then(() => 'ended' as const),
    deadline(run, frozenAt),
  ]);
  if (outcome === 'ended') return run.checkReserve();
  // Whatever the abort does now, the guest comes first.
  aborting.catch((error: unknown) => noteLateAbort(run, error));
  await thawOnControl(run);
  throw failed(run, `did not end within ${run.timeouts.freezeMs} ms while the guest was frozen`);
}

/** What the freeze itself took is gone from its time; some is left in any case. */
async function deadline({ timeouts }: CaptureRun, frozenAt?: number): Promise<'late'> {
  const timeoutMs =
    frozenAt === undefined
      ? timeouts.mirrorStallMs
      : Math.max(MIN_ABORT_MS, timeouts.freezeMs - (performance.now() - frozenAt));
  await new Promise<void>((resolve) => setTimeout(resolve, timeoutMs).unref());
  return 'late';
}

async function thawOnControl({ host, inspection, scope }: CaptureRun): Promise<void> {
  const domain = await host.domainForControl(inspection.uuid);
  await domain?.fsThaw();
  await scope.settle(freeze);
}

function noteLateAbort({ onEvent }: CaptureRun, error: unknown): void {
  const message = `the mirror's abort came to an end later: ${messageOf(error)}`;
  onEvent({ type: 'note', level: 'warning', step: 'mirror', message });
}

function failed({ inspection }: CaptureRun, what: string): PublishError {
  const { disk, name } = inspection;
  return new PublishError('MIRROR', `the mirror of disk ${disk.target} of domain ${name} ${what}`, {
    step: 'mirror',
  });
}
