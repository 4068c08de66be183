// What becomes of a mirror: ready, or gone, and then why.
import { PublishError } from '../../core/errors.ts';
import type { Domain } from '../../libvirt/domain.ts';
import { isOff } from '../../libvirt/is-off.ts';
import { parseDomainXml } from '../../libvirt/xml/domain-xml.ts';
import type { MirrorData } from '../../run/acts/guest-acts.ts';
import type { CaptureRun } from '../capture-run.ts';

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
    if (await isOff(domain, error)) return undefined;
    throw error;
  }
}

export function failed(
  { inspection }: CaptureRun,
  { target }: MirrorData,
  what: string,
): PublishError {
  const message = `the mirror of disk ${target} of domain ${inspection.name} ${what}`;
  return new PublishError('MIRROR', message, { step: 'mirror' });
}
