// What becomes of a mirror: ready, or gone, and then why.
import { PublishError } from '../errors.ts';
import type { Domain } from '../libvirt/domain.ts';
import { parseDomainXml } from '../libvirt/domain-xml.ts';
import { isLibvirtError, VIR_ERR } from '../libvirt/errors.ts';
import { pollUntil } from '../poll.ts';
import type { MirrorData } from '../run/guest-acts.ts';
import type { CaptureRun } from './capture-run.ts';

/** libvirt sees QEMU's end some moments after a call that it cut short. */
const END_SEEN_MS = 3000;

type DiskErrors = Awaited<ReturnType<Domain['getDiskErrors']>>;

/** Those of the mirrors that are in sync with their disks at this moment. */
export async function readyMirrors(
  { domain }: CaptureRun,
  mirrors: readonly MirrorData[],
): Promise<MirrorData[]> {
  const { disks } = parseDomainXml(await domain.getXMLDesc(0));
  return mirrors.filter(({ target, delta }) => {
    const mirror = disks.find((disk) => disk.target === target)?.mirror;
    return mirror?.path === delta && mirror.ready === 'yes';
  });
}

/** The error for a job that is not there any more. A full disk has a code of its own. */
export async function vanished(run: CaptureRun, mirror: MirrorData): Promise<PublishError> {
  await run.checkReserve();
  return failed(run, mirror, await causeOfDeath(run));
}

/** A failed job leaves no error behind: it is gone, and what can be known is asked for. */
async function causeOfDeath(run: CaptureRun): Promise<string> {
  const domain = await run.host.domain(run.inspection.uuid);
  const errors = domain && (await diskErrors(run, domain));
  if (!errors) return 'ended: the guest was switched off meanwhile';
  const told = errors.map(({ disk, error }) => `${disk}: ${error}`).join(', ') || 'none';
  return `ended before it was ready, and libvirt knows no block job any more (disk errors of the guest: ${told}); see whether the work directory is full, and the domain's log below /var/log/libvirt/qemu`;
}

/** Undefined where the guest is off, or goes off while it is asked: it may be gone altogether then. */
async function diskErrors(run: CaptureRun, domain: Domain): Promise<DiskErrors | undefined> {
  try {
    return (await domain.isActive()) ? await domain.getDiskErrors() : undefined;
  } catch (error) {
    if (await isOff(run, error)) return undefined;
    throw error;
  }
}

/**
 * Whether a call failed because the guest is off. A transient domain is gone then, a persistent one
 * not running; one that goes off within the call fails with whatever the monitor's end gives.
 */
export async function isOff({ host, inspection }: CaptureRun, error: unknown): Promise<boolean> {
  if (!isLibvirtError(error)) return false;
  if (error.code === VIR_ERR.NO_DOMAIN || error.code === VIR_ERR.OPERATION_INVALID) return true;
  const went = async () => {
    const domain = await host.domain(inspection.uuid);
    return !(domain && (await domain.isActive().catch(() => false)));
  };
  return pollUntil(went, { timeoutMs: END_SEEN_MS, pollMs: 100 });
}

export function failed(
  { inspection }: CaptureRun,
  { target }: MirrorData,
  what: string,
): PublishError {
  const message = `the mirror of disk ${target} of domain ${inspection.name} ${what}`;
  return new PublishError('MIRROR', message, { step: 'mirror' });
}
