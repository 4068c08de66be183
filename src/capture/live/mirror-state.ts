// The state of a mirror: ready, or vanished, and the reason.
import { PublishError } from '../../core/errors.ts';
import type { Domain } from '../../libvirt/domain.ts';
import { isOff } from '../../libvirt/is-off.ts';
import { parseDomainXml } from '../../libvirt/xml/domain-xml.ts';
import type { MirrorData } from '../../run/acts/guest-acts.ts';
import type { CaptureRun } from '../capture-run.ts';

type DiskErrors = Awaited<ReturnType<Domain['getDiskErrors']>>;

/** Returns the mirrors that are in sync with their disks at this moment. */
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

/** Returns the error for a job that vanished. @throws PublishError NO_SPACE if space is lacking */
export async function vanished(run: CaptureRun, mirror: MirrorData): Promise<PublishError> {
  await run.checkReserve();
  const hint =
    "check the space in the work directory, and the domain's log in /var/log/libvirt/qemu";
  return failed(run, mirror, await causeOfDeath(run), hint);
}

/** A failed job leaves no error in libvirt, so the guest's disk errors are reported. */
async function causeOfDeath({ host, inspection }: CaptureRun): Promise<string> {
  const domain = await host.domain(inspection.uuid);
  const errors = domain && (await diskErrors(domain));
  if (!errors) return 'ended: the guest was switched off';
  const list = errors.map(({ disk, error }) => `${disk}: ${error}`).join(', ') || 'none';
  return `ended before it was ready: libvirt has no block job any more (disk errors of the guest: ${list})`;
}

/** Returns undefined if the guest is off, or shuts down during the call. */
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
  hint?: string,
): PublishError {
  const message = `the mirror of disk ${target} of domain ${inspection.name} ${what}`;
  return new PublishError('MIRROR', message, {
    step: 'mirror',
    ...(hint === undefined ? {} : { hint }),
  });
}
